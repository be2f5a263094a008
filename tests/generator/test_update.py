"""Plain `copier update` from the command line: without trust, and never past an answer that it cannot read.

Updates of services that their owners edited are in `tests/update/`.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import copy
from tests.releases import NEXT, git


@pytest.fixture
def service(template: Path, tmp_path: Path) -> Path:
    """A service of the working tree's version, in its own repository."""
    root = copy(template, tmp_path / "service")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Start")
    return root


def update(service: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Plain Copier's own command, without --trust."""
    command = [sys.executable, "-m", "copier", "update", "--defaults", "--quiet", f"--vcs-ref={NEXT}", *arguments]
    return subprocess.run(command, cwd=service, capture_output=True, text=True, check=False)


def test_an_update_needs_no_trust(service: Path) -> None:
    done = update(service, "--data=database=postgres")
    assert done.returncode == 0, done.stderr
    assert "asyncpg" in (service / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("question", "value"),
    [("database", "sqlit"), ("project_name", "9 lives"), ("extensions", ["promethus"]), ("python_version", "2.7")],
)
def test_a_recorded_answer_is_never_dropped_in_silence(question: str, value: Any, service: Path) -> None:
    path = service / ".copier-answers.yml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), question: value}))
    git(service, "commit", "--all", "--quiet", "--message=x")
    done = update(service)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert f"{question}: " in done.stderr
    assert git(service, "status", "--porcelain") == ""
