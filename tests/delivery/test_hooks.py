"""The commit hook of a service refuses secrets, conflict markers and careless code, and asks no network for that."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Render
from tests.docs.conftest import writable
from tests.live.environment import DEFAULT, clean, interpreter
from tests.matrix.combinations import extremes, label
from tests.releases import git

NOWHERE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
KEY = "AKIA" + "Z7QXVNBLTKWEJRP3"  # in two parts: this repository looks for such things too
REFUSED = {
    "a secret": (f'KEY = "{KEY}"\n', "secrets"),
    "a conflict": ("<<<<<<< mine\nONE = 1\n=======\nONE = 2\n>>>>>>> theirs\n", "conflict markers"),
    "a careless import": ('"""Careless."""\n\nimport os\n', "ruff check"),
}


def hooked(rendered: Path, root: Path) -> Path:
    """A service with its hook, and nothing that could reach a network."""
    writable(rendered, root)
    (root / ".venv").symlink_to(interpreter(DEFAULT).parents[1])
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / ".git" / "info" / "exclude").write_text(".venv\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Start")
    subprocess.run([".venv/bin/prek", "install"], cwd=root, env=clean() | NOWHERE, check=True, capture_output=True)
    return root


@pytest.fixture
def service(rendered: Render, tmp_path: Path) -> Path:
    """A small one."""
    return hooked(rendered(extensions=[], delivery=[], database="sqlite"), tmp_path / "service")


def commit(root: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Try to commit a module."""
    (root / "app" / "features" / "more.py").write_text(text)
    git(root, "add", "--all")
    name = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com"}
    name |= {
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
        "PREK_HOME": str(root.parent / "prek"),
    }
    path = {"PATH": f"{root}/.venv/bin{os.pathsep}{os.environ['PATH']}"}
    command = ["git", "commit", "--quiet", "--message", "More"]
    return subprocess.run(
        command, cwd=root, env=clean() | NOWHERE | name | path, capture_output=True, text=True, check=False
    )


def test_a_careless_commit_is_refused_and_a_clean_one_passes(service: Path) -> None:
    for what, (text, hook) in REFUSED.items():
        done = commit(service, text)
        assert done.returncode == 1, f"{what} was committed: {done.stdout}"
        failed = [line for line in (done.stdout + done.stderr).splitlines() if line.endswith("Failed")]
        assert any(line.startswith(hook) for line in failed), (what, done.stdout + done.stderr)
    assert len(git(service, "log", "--oneline").splitlines()) == 1
    done = commit(service, '"""More."""\n\nONE = 1\n')
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(git(service, "log", "--oneline").splitlines()) == 2


def rows() -> list[Any]:
    """Return nothing and all that can be enabled, with and without the sample, on each database.

    The hooks look at one file after the other, so `make test` takes all options with the sample on each database.
    """
    found = []
    for row in extremes():
        if len(row["extensions"]) != 1 != len(row["delivery"]):
            quick = row["sample"] and row["extensions"]
            found.append(pytest.param(row, id=label(row), marks=[] if quick else [pytest.mark.full]))
    return found


@pytest.mark.parametrize("answers", rows())
def test_all_that_the_template_wrote_passes(answers: dict[str, Any], rendered: Render, tmp_path: Path) -> None:
    root = hooked(rendered(**answers), tmp_path / "service")
    done = subprocess.run(
        [".venv/bin/prek", "run", "--all-files"],
        cwd=root,
        env=clean() | NOWHERE | {"PREK_HOME": str(tmp_path / "prek")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_hook_is_a_program_of_the_service(service: Path) -> None:
    configured = yaml.safe_load((service / ".pre-commit-config.yaml").read_text())
    assert {repository["repo"] for repository in configured["repos"]} == {"local"}
    for hook in configured["repos"][0]["hooks"]:
        assert hook["language"] == "pygrep" or (service / hook["entry"].split()[0]).exists()
