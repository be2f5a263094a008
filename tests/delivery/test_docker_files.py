"""The image's and the compose files of every combination: valid, consistent, and closed to the outside."""

import json
import os
import re
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.conftest import Render
from tests.delivery.tools import tool
from tests.matrix.combinations import grouped
from tests.tree import MANIFESTS

PRODUCTION, DEVELOPMENT = "compose.production.yaml", "compose.yaml"
ONE_SHOT = {"migrate"}
STAGES = ("uv", "dependencies", "code", "runtime", "service")
REVISION = "org.opencontainers.image.revision"
Compose = dict[str, Any]


def ticks_it(answers: Compose) -> bool:
    """Return whether a row of the matrix has a Dockerfile, by its own answer or by its preset's."""
    by_preset = ["docker"] if answers.get("preset") in MANIFESTS["docker"]["presets"] else []
    return "docker" in answers.get("delivery", by_preset)


ROWS = [row for row in grouped() if ticks_it(row.values[0])]


@pytest.fixture(params=ROWS)
def root(request: pytest.FixtureRequest, rendered: Render) -> Path:
    """A service that enabled it, of every combination."""
    return rendered(**request.param)


def loaded(root: Path, name: str) -> Compose:
    """A compose file, its anchors resolved."""
    found: Compose = yaml.safe_load((root / name).read_text())
    return found


@cache
def schema() -> Draft7Validator:
    """The Compose specification, as check-jsonschema brings it."""
    place = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return Draft7Validator(json.loads(place.read_text()))


@cache
def said(text: str, name: str, *command: str) -> str:
    """Return a program's complaints about a text. Many combinations have the same text: it is checked once."""
    done = subprocess.run(
        [tool(name), *command], input=text, capture_output=True, text=True, check=False, timeout=60,
        env={"DOMAIN": "api.example.com", "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


def test_the_linters_find_nothing(root: Path) -> None:
    assert not said((root / "Dockerfile").read_text(), "hadolint", "-")
    assert not said((root / "ops/docker/production.sh").read_text(), "shellcheck", "-")
    proxy = (root / "ops/docker/Caddyfile").read_text()
    assert not said(proxy, "caddy", "validate", "--adapter=caddyfile", "--config=-")
    assert not said(proxy, "caddy", "fmt", "-")


def test_a_change_of_code_leaves_every_layer_but_the_last(root: Path) -> None:
    _, *parts = re.split(r"^FROM \S+ AS (\w+)$", (root / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages = {name: text.strip().splitlines() for name, text in zip(parts[::2], parts[1::2], strict=True)}
    assert {"dependencies", "code", "runtime", "service"} <= set(stages) <= {*STAGES, "ops"}
    last = ["COPY --from=code /service ./", "ARG REVISION=unknown", f"LABEL {REVISION}=$REVISION"]
    for name, lines in stages.items():
        if name in {"service", "ops"}:
            assert lines[-3:] == last
            del lines[-3:]
        rest = "\n".join(lines)
        assert "REVISION" not in rest, name
        assert name == "code" or not re.search("(COPY|source=).*(app|migrations|--from=code)", rest), name


def test_the_compose_files_are_as_the_specification_has_them(root: Path) -> None:
    for name in (DEVELOPMENT, PRODUCTION):
        assert [error.message for error in schema().iter_errors(loaded(root, name))] == []


def test_whatever_a_container_names_is_declared_and_used(root: Path) -> None:
    for name in (DEVELOPMENT, PRODUCTION):
        compose = loaded(root, name)
        used: dict[str, set[str]] = {"volumes": set(), "networks": set(), "secrets": set()}
        for service in compose["services"].values():
            assert set(service.get("depends_on", {})) <= set(compose["services"])
            used["networks"] |= set(service.get("networks", []))
            used["secrets"] |= set(service.get("secrets", []))
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("./"):
                    assert (root / source).exists(), f"{name} mounts {source}, and there is none"
                else:
                    used["volumes"].add(source)
        for kind, names in used.items():
            assert names == set(compose.get(kind, {})), f"{kind} of {name}"


def test_each_variable_and_secret_is_a_setting_that_the_service_knows(root: Path) -> None:
    known = set(re.findall(r"^- `([A-Z_]+__[A-Z_]+)`", (root / "docs/configuration.md").read_text(), re.MULTILINE))
    for name in (DEVELOPMENT, PRODUCTION):
        for service in loaded(root, name)["services"].values():
            if "build" in service:
                assert set(service["environment"]) <= known
                assert set(service.get("secrets", [])) <= known


def test_each_image_has_a_tag_and_each_backing_server_is_waited_for(root: Path) -> None:
    for name in (DEVELOPMENT, PRODUCTION):
        services = loaded(root, name)["services"]
        for service in services.values():
            assert re.search(r":[\w.-]+(@sha256:[0-9a-f]{64})?}?$", service["image"])
            assert not service["image"].rstrip("}").endswith(":latest")
            for other, rule in service.get("depends_on", {}).items():
                if rule["condition"] == "service_healthy" and "build" not in services[other]:
                    assert "test" in services[other]["healthcheck"]
                if rule["condition"] == "service_completed_successfully":
                    assert other in ONE_SHOT
        assert services["app"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_only_the_proxy_is_published_and_nothing_reaches_the_servers(root: Path) -> None:
    compose = loaded(root, PRODUCTION)
    services = compose["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    public = [str(port) for port in services["proxy"]["ports"] if not str(port).startswith("127.0.0.1:")]
    assert public == ["80:80", "443:443", "443:443/udp"]
    assert compose["networks"]["inside"] == {"internal": True}
    assert services["proxy"]["networks"] == ["outside"]
    for name in {"postgres", "redis", "queue", "migrate"} & set(services):
        assert services[name]["networks"] == ["inside"], name
    if "prometheus" in services:
        assert services["prometheus"]["networks"] == ["inside", "outside"], "it sends alerts to a server anywhere"
    for service in loaded(root, DEVELOPMENT)["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_no_container_has_more_rights_memory_or_time_than_it_needs(root: Path) -> None:
    defaults = dict(re.findall(r"^- `([A-Z_]+)` \(`([\d.]+)`\)", (root / "docs/configuration.md").read_text(), re.M))
    for name, service in loaded(root, PRODUCTION)["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert service["restart"] in {"unless-stopped", "on-failure:3"}, name
        if "build" in service:
            assert service["user"] == "1000:1000", name
            assert "cap_add" not in service, name
    services = loaded(root, PRODUCTION)["services"]
    # Drained for a second in production, and then given its time.
    assert seconds(services["app"]["stop_grace_period"]) > 1 + float(defaults["SERVER__SHUTDOWN_TIMEOUT"])
    if "worker" in services:
        assert seconds(services["worker"]["stop_grace_period"]) > float(defaults["WORKER__SHUTDOWN_TIMEOUT"])
    proxy = (root / "ops/docker/Caddyfile").read_text()
    found = dict(re.findall(r"(response_header_timeout|keepalive) (?:{\$\w+:)?(\d+)}?s", proxy))
    assert float(found["response_header_timeout"]) > float(defaults["HTTP__REQUEST_TIMEOUT"])
    assert float(found["keepalive"]) < float(services["app"]["environment"]["SERVER__KEEP_ALIVE"])


def seconds(written: str) -> float:
    """A duration of compose's."""
    assert written.endswith("s")
    return float(written[:-1])


def test_the_proxy_has_the_variables_that_it_reads_and_no_secret_of_the_service(root: Path) -> None:
    services = loaded(root, PRODUCTION)["services"]
    assert {name for name, service in services.items() if "env_file" in service} <= {
        name for name, service in services.items() if "build" in service
    }
    read = set(re.findall(r"{\$(\w+)", (root / "ops/docker/Caddyfile").read_text()))
    assert set(services["proxy"]["environment"]) == read
    assert "secrets" not in services["proxy"]
    for name, value in services["proxy"]["environment"].items():
        default = re.search(rf"{{\${name}:(\d+)}}", (root / "ops/docker/Caddyfile").read_text())
        assert value == (f"${{{name}:-{default[1]}}}" if default else "${DOMAIN:?put DOMAIN=api.example.com into .env}")


def test_no_password_stands_in_a_file_that_is_tracked(root: Path) -> None:
    text = (root / PRODUCTION).read_text()
    assert not re.search(r"(?i)(password|secret|key|token): *[\"']?(?!/run/secrets/|\{file)[\w-]+$", text, re.MULTILINE)
    assert not re.search(r"://[^/\s]*:[^/\s]*@", text)
