"""The script with which `make secrets` and `make production` begin."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Render
from tests.delivery.tools import tool
from tests.live.environment import DEFAULT, clean, interpreter

FULL = {"preset": "production", "database": "postgres", "delivery": ["docker"]}


def compose(root: Path) -> dict[str, Any]:
    """The compose file, its anchors resolved."""
    found: dict[str, Any] = yaml.safe_load((root / "compose.production.yaml").read_text())
    return found


def copied(rendered: Render, tmp_path: Path, **answers: Any) -> Path:
    """A service with everything, to write into."""
    return Path(shutil.copytree(rendered(**FULL | answers), tmp_path / "service"))


def production(root: Path, command: str, domain: str | None = "api.example.com") -> subprocess.CompletedProcess[str]:
    """Run the script with which `make secrets` and `make production` begin."""
    environ = {"PATH": os.environ["PATH"]} | ({"DOMAIN": domain} if domain is not None else {})
    script = str(root / "ops/docker/production.sh")
    return subprocess.run([script, command], capture_output=True, text=True, check=False, env=environ, cwd="/")


def test_secrets_are_random_closed_to_others_and_never_written_over(rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path)
    wanted = {Path(entry["file"]).name for entry in compose(root)["secrets"].values()}
    assert production(root, "secrets").returncode == 0
    made = {path.name: path.read_text() for path in (root / "secrets").iterdir()}
    assert wanted <= set(made)
    assert (root / "secrets").stat().st_mode & 0o777 == 0o700
    assert {(root / "secrets" / name).stat().st_mode & 0o777 for name in made} == {0o444}
    assert len(made["AUDIT__KEY"]) == 64
    (root / "secrets/AUDIT__KEY").unlink()
    again = production(root, "secrets")
    assert again.stdout == "wrote secrets/AUDIT__KEY\n"
    now = {path.name: path.read_text() for path in (root / "secrets").iterdir()}
    assert now.pop("AUDIT__KEY") != made.pop("AUDIT__KEY")
    assert now == made


def test_the_service_takes_the_settings_and_secrets_of_its_containers(rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path)
    production(root, "secrets")
    app = compose(root)["services"]["app"]
    granted = tmp_path / "granted"
    granted.mkdir()
    for name in app["secrets"]:
        source = compose(root)["secrets"][name]["file"]
        shutil.copy(root / source, granted / name)
    environ = clean() | app["environment"] | {"SECRETS_DIR": str(granted)}
    command = [str(interpreter(DEFAULT)), "-c", "from app.main import load_settings; load_settings()"]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_each_secret_of_a_cluster_is_a_file_for_compose_too(database: str, rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path, database=database, delivery=["docker", "kubernetes"])
    example = (root / "ops/kubernetes/secrets.env.example").read_text()
    named = set(re.findall(r"^(?:# )?([A-Z_]+__[A-Z_]+)=", example, re.MULTILINE))
    assert {"JWT__SECRET", "SENTRY__DSN", "UPLOADS__SECRET_KEY"} <= named
    # docs/deployment.md shows with HEALTH__KEY how a secret is added.
    assert named <= {"HEALTH__KEY", *compose(root)["services"]["app"]["secrets"]}


@pytest.mark.parametrize(
    ("domain", "line"),
    [
        (None, "DOMAIN is not set: put DOMAIN=api.example.com, the name of this machine, into .env"),
        ("https://api.example.com", "DOMAIN: 'https://api.example.com' is no domain: write it like api.example.com"),
        ("api.example.com:8443", "DOMAIN: 'api.example.com:8443' is no domain"),
        ("10.0.0.1", "DOMAIN: '10.0.0.1' is no domain"),
        ("api_one.example.com", "DOMAIN: 'api_one.example.com' is no domain"),
        ("-a.example.com", "DOMAIN: '-a.example.com' is no domain"),
    ],
)
def test_a_domain_that_is_none_is_one_line(domain: str | None, line: str, rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path)
    (root / "uv.lock").touch()
    production(root, "secrets")
    refused = production(root, "check", domain)
    assert refused.returncode == 2
    assert refused.stderr.startswith(line)
    assert refused.stderr.count("\n") == 1
    (root / ".env").write_text("DOMAIN=api.example.com\n")
    assert production(root, "check", None).returncode == 0
    assert production(root, "check", "localhost").returncode == 0


def test_a_missing_secret_and_a_missing_lock_file_are_one_line(rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path)
    production(root, "secrets")
    assert production(root, "check").stderr.startswith("uv.lock is missing")
    (root / "secrets/REDIS__URL").unlink()
    refused = production(root, "check")
    assert refused.stderr == "secrets/REDIS__URL is missing or empty: `make secrets` writes it\n"
    assert refused.returncode == 2


def test_prometheus_takes_what_it_is_given_to_scrape(rendered: Render, tmp_path: Path) -> None:
    root = rendered(**FULL)
    for path in (root / "ops/docker/prometheus.yaml", root / "ops/prometheus/alerts.yaml"):
        shutil.copy(path, tmp_path)
    command = [tool("promtool"), "check", "config", str(tmp_path / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_secrets_of_the_backups_are_theirs_alone_and_the_key_is_made_first(
    rendered: Render, tmp_path: Path
) -> None:
    root = copied(rendered, tmp_path, delivery=["docker", "backups"])
    found = compose(root)
    own = {name for name in found["secrets"] if name.startswith("BACKUPS__")}
    assert own == {"BACKUPS__KEY", "BACKUPS__ACCESS_KEY", "BACKUPS__SECRET_KEY"}
    assert set(found["services"]["backups"]["secrets"]) == {"DATABASE__URL", *own}
    for name, service in found["services"].items():
        assert name == "backups" or not own & set(service.get("secrets", [])), name
    (root / "uv.lock").touch()
    production(root, "secrets")
    assert {(root / "secrets" / name).read_text() for name in own} == {""}
    assert production(root, "check").stderr.startswith(
        "secrets/BACKUPS__KEY is empty: make a key as docs/deployment.md"
    )
    key = root / "secrets/BACKUPS__KEY"
    key.unlink()
    key.write_text("\n")  # not encrypted
    assert production(root, "check").returncode == 0
    key.unlink()
    assert production(root, "check").stderr.startswith("secrets/BACKUPS__KEY is missing: `make secrets` writes it")


def test_what_a_person_writes_for_production_is_not_tracked(rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path)
    subprocess.run(["git", "init", "--quiet", root], check=True)
    for name in (".env", "production.env", "secrets/DATABASE__URL"):
        assert subprocess.run(["git", "check-ignore", "--quiet", name], cwd=root, check=False).returncode == 0, name
