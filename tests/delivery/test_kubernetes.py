"""The manifests of every combination: valid, hardened, and true to the service that they run."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Render
from tests.delivery.cluster import HOST, Object, containers, invalid, kinds, objects, only, settings, templates
from tests.delivery.manifests import wrong
from tests.delivery.tools import tool
from tests.live.environment import DEFAULT, clean, interpreter
from tests.matrix.combinations import every, label

OVERLAYS = ["staging", "production"]
FULL: dict[str, Any] = {"preset": "production", "database": "postgres"}
SMALL: dict[str, Any] = {"preset": "production", "database": "sqlite"}
PLAIN: dict[str, Any] = {
    "database": "sqlite",
    "extensions": ["prometheus", "jwt", "uploads", "log_files", "audit"],
    "delivery": ["docker", "kubernetes"],
}
"""Answers of a pod that can be tried without another server. It has one image alone."""
ROWS = [
    pytest.param(row, id=label(row), marks=pytest.mark.xdist_group(label(row)))
    for row in every()
    if "kubernetes" in row.get("delivery", ["kubernetes"] if row.get("preset") == "production" else [])
]
LOADING = Path(__file__).parent / "loading.py"
YAMLLINT = json.dumps(
    {
        "extends": "default",
        "rules": {
            "document-start": "disable",
            "line-length": {"max": 140},
            "comments": {"min-spaces-from-content": 1},
        },
    }
)


@cache
def read(root: Path, overlay: str) -> list[Object]:
    """The objects of an overlay, rendered once."""
    return objects(root / "ops" / "kubernetes" / "overlays" / overlay)


@pytest.fixture(params=ROWS)
def service(request: pytest.FixtureRequest, rendered: Render) -> Path:
    """A rendered combination with Kubernetes."""
    return rendered(**request.param)


@pytest.fixture
def found(service: Path) -> list[Object]:
    """Its objects in production."""
    return read(service, "production")


def given(root: Path, found: list[Object], secrets: Path) -> dict[str, str]:
    """The environment of the service's container."""
    container = only(found, "Deployment", name(root))["spec"]["template"]["spec"]["containers"][0]
    return clean() | settings(found, container) | {"SECRETS_DIR": str(secrets)}


def name(root: Path) -> str:
    """The service's name, for machines."""
    answers: dict[str, str] = yaml.safe_load((root / ".copier-answers.yml").read_text())
    return answers["project_slug"]


def mounted(root: Path, folder: Path, *, secret: str = "0123456789abcdef" * 3) -> Path:
    """The sample's secrets as the kubelet lays them: links to a folder of their own, which a link names."""
    (folder / "..2026_01_31_12_00_00.1").mkdir(parents=True)
    (folder / "..data").symlink_to("..2026_01_31_12_00_00.1")
    for line in (root / "ops" / "kubernetes" / "secrets.env.example").read_text().splitlines():
        if not line.startswith("#"):
            variable, _, value = line.partition("=")
            (folder / "..data" / variable).write_text(value.replace("change-me", secret))
            (folder / variable).symlink_to(f"..data/{variable}")
    return folder


def load(root: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The settings that the service makes of it."""
    command = [interpreter(DEFAULT), LOADING]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_what_is_rendered_is_valid_and_consistent(service: Path) -> None:
    for overlay in OVERLAYS:
        found = read(service, overlay)
        assert list(invalid(found)) == []
        assert wrong(found) == []


def test_every_file_is_part_of_an_overlay_and_well_formed(service: Path) -> None:
    folder = service / "ops" / "kubernetes"
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "-s", "-d", YAMLLINT, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    for part in ["base", *(f"overlays/{overlay}" for overlay in OVERLAYS)]:
        listed = yaml.safe_load((folder / part / "kustomization.yaml").read_text())["resources"]
        there = {path.name for path in (folder / part).iterdir()} - {"kustomization.yaml"}
        assert there - {"ingress.yaml"} == set(listed), part  # which `make overlay route=ingress` takes


def test_every_setting_is_one_of_the_service(service: Path, found: list[Object], tmp_path: Path) -> None:
    environment = given(service, found, mounted(service, tmp_path / "secrets"))
    assert environment["SERVER__TRUSTED_PROXIES"] == "gateway.example.com"
    done = load(
        service, environment | {"SERVER__TRUSTED_PROXIES": "10.0.0.0/8"}
    )  # as `make overlay gateway=` writes it
    assert done.returncode == 0, done.stdout + done.stderr
    groups = json.loads(done.stdout)
    for variable in [each for each in environment if "__" in each.strip("_")]:
        group, _, field = variable.lower().partition("__")
        assert field in groups.get(group, {}), f"{variable} is no setting"
    documented = set(re.findall(r"^- `([A-Z_]+)`", (service / "docs" / "configuration.md").read_text(), re.MULTILINE))
    sample = "".join(path.read_text() for path in sorted((service / "ops" / "kubernetes").glob("*.env.example")))
    named = set(re.findall(r"^(?:# )?([A-Z_]+__[A-Z_]+)=", sample, re.MULTILINE))
    for _, template in templates(found):
        named |= {each for container in containers(template) for each in settings(found, container) if "__" in each}
    assert named <= documented
    assert groups["lifecycle"]["drain"] == 5
    assert groups["server"]["keep_alive"] == 75
    assert groups["http"]["trusted_hosts"] == [only(found, "HTTPRoute", name(service))["spec"]["hostnames"][0]]
    longest = max(groups["http"]["receive_timeout"], groups.get("uploads", {}).get("receive_timeout", 0))
    (rule,) = only(found, "HTTPRoute", name(service))["spec"]["rules"]
    assert int(rule["timeouts"]["request"].removesuffix("s")) > longest + groups["http"]["request_timeout"]


def test_what_the_database_allows_is_what_is_deployed(service: Path, found: list[Object]) -> None:
    deployment = only(found, "Deployment", name(service))["spec"]
    if yaml.safe_load((service / ".copier-answers.yml").read_text())["database"] == "sqlite":
        assert deployment["replicas"] == 1
        assert deployment["strategy"] == {"type": "Recreate"}
        assert not kinds(found, "HorizontalPodAutoscaler", "PodDisruptionBudget", "Job")
        assert deployment["template"]["spec"]["initContainers"][0]["command"] == ["alembic", "upgrade", "head"]
        for _, template in templates(found):  # one node has the file
            (term,) = template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            assert term["topologyKey"] == "kubernetes.io/hostname"
    else:
        assert "replicas" not in deployment  # the autoscaler's
        assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert kinds(found, "HorizontalPodAutoscaler")
        assert kinds(found, "PodDisruptionBudget")
        (job,) = kinds(found, "Job")
        assert containers(job["spec"]["template"])[0]["command"] == ["alembic", "upgrade", "head"]
        assert not any("persistentVolumeClaim" in each for each in job["spec"]["template"]["spec"]["volumes"])
        shared = {
            each.get("persistentVolumeClaim", {}).get("claimName") for each in deployment["template"]["spec"]["volumes"]
        }
        claims = [each for each in kinds(found, "PersistentVolumeClaim") if each["metadata"]["name"] in shared]
        assert all(each["spec"]["accessModes"] == ["ReadWriteMany"] for each in claims)


def test_an_overlay_names_the_image_and_the_host(service: Path, found: list[Object]) -> None:
    slug = name(service)
    for _, template in templates(found):
        for container in containers(template):
            assert re.fullmatch(rf"registry\.example\.com/{slug}(-[a-z]+)?:0\.1\.0", container["image"])
            stage = container["image"].rpartition("/")[2].partition(":")[0].removeprefix(slug).strip("-") or "service"
            assert f" AS {stage}\n" in (service / "Dockerfile").read_text()
    assert not kinds(found, "Secret")
    for overlay in OVERLAYS:
        (ingress,) = yaml.safe_load_all((service / f"ops/kubernetes/overlays/{overlay}/ingress.yaml").read_text())
        assert list(invalid([ingress])) == []
        (rule,) = ingress["spec"]["rules"]
        assert re.fullmatch(HOST, rule["host"])
        assert [each["hosts"] for each in ingress["spec"]["tls"]] == [[rule["host"]]]
        assert rule["http"]["paths"][0]["backend"]["service"] == {"name": slug, "port": {"name": "http"}}
        assert "annotations" not in ingress["metadata"]


def test_the_rules_in_the_cluster_are_the_alerts_and_no_others(
    service: Path, found: list[Object], tmp_path: Path
) -> None:
    alerts = service / "ops" / "prometheus" / "alerts.yaml"
    assert (name(service) in {each["metadata"]["name"] for each in kinds(found, "PrometheusRule")}) == alerts.exists()
    for rule in kinds(found, "PrometheusRule"):
        recorded = all("record" in each for group in rule["spec"]["groups"] for each in group["rules"])
        assert recorded or rule["spec"] == yaml.safe_load(alerts.read_text())
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
        done = subprocess.run(
            [tool("promtool"), "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        monitor, services = only(found, "ServiceMonitor", name(service)), kinds(found, "Service")
        (scraped,) = [
            each
            for each in services
            if monitor["spec"]["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
        ]
        assert f'job="{scraped["metadata"]["labels"][monitor["spec"]["jobLabel"]]}"' in alerts.read_text()
