"""The images that `make image` and `make production` build, take from a registry, and start."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.delivery.test_docker_production import copied, production
from tests.live.environment import clean
from tests.releases import git

DOCKER = """\
#!/bin/sh
echo "$* REVISION=$REVISION IMAGE=$IMAGE OPS_IMAGE=$OPS_IMAGE" >> "$LOG"
"""
COMPOSE = "compose --file compose.production.yaml"


@pytest.fixture
def root(rendered: Render, tmp_path: Path) -> Path:
    """A service that is committed, on a machine that has its secrets."""
    root = copied(rendered, tmp_path, delivery=["docker", "backups"])
    production(root, "secrets")
    (root / "secrets/BACKUPS__KEY").write_text("\n")  # not encrypted
    (root / "uv.lock").touch()
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Start")
    return root


def make(root: Path, *arguments: str) -> list[str]:
    """Run make, and return its calls of the container engine."""
    log, programs = root.parent / "log", root.parent / "programs"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    variables = {"LOG": str(log), "DOMAIN": "api.example.com", "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["make", *arguments], cwd=root, env=clean() | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return log.read_text().splitlines()


def test_an_image_is_made_of_each_stage_and_keeps_its_commit(root: Path) -> None:
    commit = git(root, "rev-parse", "HEAD").strip()
    service, ops = make(root, "image")
    assert service.startswith(
        f"build --build-arg REVISION={commit} --tag my-service:production --tag my-service:sha-{commit} . "
    )
    assert ops.startswith(
        f"build --build-arg REVISION={commit} --target ops"
        f" --tag my-service-ops:production --tag my-service-ops:sha-{commit} . "
    )


def test_what_is_built_for_production_knows_its_commit(root: Path) -> None:
    commit = git(root, "rev-parse", "HEAD").strip()
    assert make(root, "production") == [
        f"{COMPOSE} build REVISION={commit} IMAGE= OPS_IMAGE=",
        f"{COMPOSE} up --detach --wait app proxy REVISION={commit} IMAGE= OPS_IMAGE=",
        f"{COMPOSE} up --detach --wait --remove-orphans REVISION={commit} IMAGE= OPS_IMAGE=",
    ]


@pytest.mark.parametrize(
    ("image", "ops"),
    [
        ("registry.example.com/my-service:1.2.3", "registry.example.com/my-service-ops:1.2.3"),
        ("registry.example.com:5000/team/api:1.2.3", "registry.example.com:5000/team/api-ops:1.2.3"),
        ("registry.example.com:5000/api", "registry.example.com:5000/api-ops"),
        ("my-service:sha-abc", "my-service-ops:sha-abc"),
    ],
)
def test_an_image_that_is_given_comes_with_the_one_beside_it_and_nothing_is_built(
    image: str, ops: str, root: Path
) -> None:
    pulled, *started = make(root, "production", f"IMAGE={image}")
    assert pulled.startswith(f"{COMPOSE} pull --policy missing ")
    assert [line.startswith(f"{COMPOSE} up ") for line in started] == [True, True]
    for line in (pulled, *started):
        assert line.endswith(f" IMAGE={image} OPS_IMAGE={ops}")


def test_the_name_of_an_image_is_taken_for_no_command(root: Path) -> None:
    make(root, "production", "IMAGE=api:1';touch made;'")
    assert not (root / "made").exists()


def test_beside_a_digest_the_other_image_is_given_too(root: Path) -> None:
    image, ops = "registry.example.com/api@sha256:abc", "registry.example.com/api-ops@sha256:def"
    for line in make(root, "production", f"IMAGE={image}", f"OPS_IMAGE={ops}"):
        assert line.endswith(f" IMAGE={image} OPS_IMAGE={ops}")
