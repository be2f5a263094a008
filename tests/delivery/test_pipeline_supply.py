"""Pipelines as a supply chain: commands beside a token, pinned images, and a scan that finds a secret or fails."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Render
from tests.delivery.images import root_only
from tests.delivery.pipelines import EVERYTHING, PROVIDERS, commands, jobs, load
from tests.live.environment import clean
from tests.releases import git

REVIEWED = {"make drill", "make load"}
"""Code of the default branch that needs a secret: read-only, in an environment of its own."""
ALONE = ("docker ", "gh ", "git ", "curl ", "ops/propose-update.sh", "trivy ")
"""The commands of steps with a token. Images are built in containers, without its variables and files."""
GITLEAKS = """\
#!/bin/sh
git log --all --patch > patches 2> errors || cat errors
[ ! -s patches ] || sed 's/^/scanned /' "$COUNT"
[ -s patches ] || echo '8:45PM INF 0 commits scanned.'
! grep -q AKIA patches || { echo 'WRN leaks found: 1'; exit 1; }
"""
"""As gitleaks 8.30.1 does: where git fails it has scanned no commit, and succeeds."""


def test_a_pull_request_that_waits_for_others_is_checked_like_any(rendered: Render) -> None:
    root = rendered(ci="github", **EVERYTHING)
    for path in root.glob(".github/workflows/*.yml"):
        on = load(path)["on"]
        assert ("merge_group" in on) is ("pull_request" in on), path.name


def images(data: Any) -> Iterator[str]:
    """Every image that a pipeline's file names."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "image" and "steps" not in value:  # a job may have this name
                yield value["name"] if isinstance(value, dict) else value
            elif key == "services":
                for service in value.values() if isinstance(value, dict) else value:
                    yield service if isinstance(service, str) else service.get("image") or service["name"]
            else:
                yield from images(value)
    elif isinstance(data, list):
        for value in data:
            yield from images(value)


@pytest.mark.parametrize("ci", PROVIDERS)
def test_every_image_of_a_pipeline_is_pinned_by_digest(ci: str, rendered: Render) -> None:
    root = rendered(ci=ci, preset="production", database="postgres")
    found = set()
    for path in [*root.glob(".github/workflows/*.yml"), *root.glob(".gitlab-ci.yml"), *root.glob(".gitlab/*.yml")]:
        found |= set(images(load(path)))
    found |= {image for command in commands(root) for image in re.findall(r"docker run \S+ \S+\s+\\?\s*(\S+)", command)}
    found = {image for image in found if "outputs.image" not in image}
    assert {image.partition(":")[0].rpartition("/")[2] for image in found} >= {
        "postgres",
        "redis",
        "gitleaks",
        "binfmt",
    }
    for image in found:
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image


def test_on_github_nothing_of_a_dependency_runs_and_no_cache_is_read_beside_a_token(rendered: Render) -> None:
    root = rendered(ci="github", preset="production", database="postgres", delivery=EVERYTHING["delivery"])
    checked = set()
    for path in root.glob(".github/workflows/*.yml"):
        for name, job in jobs(path).items():
            trusted = "environment" in job or "write" in job["permissions"].values() or "secrets." in str(job)
            if not trusted:
                assert "github.token" not in str(job), (path.name, name)
                continue
            checked.add(name)
            assert "secrets." not in str(job) or "environment" in job, (
                f"{path.name}: {name} has a secret for any branch"
            )
            for step in job["steps"]:
                if "setup-uv" in step.get("uses", ""):
                    assert step["with"]["enable-cache"] is False, (path.name, name)
                if command := step.get("run"):
                    assert command in REVIEWED or not re.search(r"\b(make|uv|python)\b", command), (path.name, command)
                    assert command in REVIEWED or any(one in command for one in ALONE)
    assert checked == {"propose", "publish", "release", "deploy", "drill", "load"}
    update = jobs(root / ".github/workflows/template-update.yml")["update"]
    assert update["permissions"] == {"contents": "read"}
    assert update["steps"][1]["with"]["enable-cache"] is False


def test_on_gitlab_nothing_of_a_dependency_runs_and_no_cache_is_read_beside_a_token(rendered: Render) -> None:
    root = rendered(ci="gitlab", preset="production", database="postgres", delivery=EVERYTHING["delivery"])
    checked = set()
    for path in [root / ".gitlab-ci.yml", *root.glob(".gitlab/*.yml")]:
        for name, job in jobs(path).items():
            engine = job.get("extends") == ".engine"
            if not engine and "environment" not in job and "TRIVY_PASSWORD" not in job.get("variables", {}):
                continue
            checked.add(name)
            assert job.get("extends", ".engine") == ".engine", f"{name} reads a cache that other jobs write"
            for command in job["script"]:
                assert command in REVIEWED or not re.search(r"\b(make|uv|python)\b", command), (name, command)
    assert checked == {"propose-update", "build", "scan", "accept", "release", "deploy", "restore-drill", "load-test"}
    assert {"cache", "extends", "environment"}.isdisjoint(jobs(root / ".gitlab-ci.yml")["template-update"])


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A repository with a secret that was deleted again; another user owns it, as on a runner with containers."""
    root_only()
    place = tmp_path / "checkout"
    place.mkdir()
    git(place, "init", "--quiet", "--initial-branch=main")
    for text in ("key = AKIAZ7QXKJ3R5W2LMN4P\n", "key =\n"):
        (place / "settings.ini").write_text(text)
        git(place, "add", "--all")
        git(place, "commit", "--quiet", "--message", "Change")
    return place


@pytest.mark.parametrize("ci", PROVIDERS)
@pytest.mark.parametrize(("case", "status"), [("planted", 1), ("clean", 0), ("shallow", 1), ("unreadable", 1)])
def test_the_scan_finds_a_secret_of_the_past_or_fails(
    ci: str, case: str, status: int, rendered: Render, history: Path, tmp_path: Path
) -> None:
    (block,) = [command for command in commands(rendered(ci=ci, **EVERYTHING)) if "gitleaks" in command]
    if case == "clean":
        git(history, "checkout", "--quiet", "--orphan", "other")
        git(history, "commit", "--quiet", "--message", "Start again")
        git(history, "branch", "--delete", "--force", "main")
    if case == "shallow":
        git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{history}", str(tmp_path / "shallow"))
        history = tmp_path / "shallow"
    if case == "unreadable":
        for path in (history / ".git" / "objects").rglob("*"):
            if path.is_file():
                path.write_bytes(b"")
    subprocess.run(["chown", "--recursive", "1234:1234", str(history)], check=True)
    programs = tmp_path / "programs"
    programs.mkdir()
    (tmp_path / "count").write_text("8:45PM INF 2 commits scanned.\n")
    (programs / "gitleaks").write_text(GITLEAKS)
    (programs / "gitleaks").chmod(0o755)
    environment = clean() | {
        "HOME": str(tmp_path),
        "COUNT": str(tmp_path / "count"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    for variable in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_COUNT"):
        environment.pop(variable, None)
    done = subprocess.run(
        ["sh", "-e", "-c", block], cwd=history, env=environment, capture_output=True, text=True, check=False
    )
    assert bool(done.returncode) is bool(status), done.stdout + done.stderr
    assert ("leaks found" in done.stdout) is (case == "planted")
