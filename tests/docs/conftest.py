"""Fixtures of the documentation's tests: services with a Python, and a shell that runs what the pages say."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.environment import DEFAULT, clean, interpreter

Shell = Callable[..., str]


@pytest.fixture(scope="session")
def python() -> Path:
    """A Python that has what any service imports."""
    return interpreter(DEFAULT)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs a command line in a folder, with Copier of this checkout behind `uvx copier`; returns what it prints."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    uvx = bin_ / "uvx"
    uvx.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m "$@"\n')
    uvx.chmod(0o755)

    def run(command: str, folder: Path, *, status: int = 0, timeout: float = 800, **variables: str) -> str:
        names = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com"}
        names |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder,
            env={**clean(), **names, "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == status, f"{command}\n{done.stdout[-4000:]}"
        return done.stdout

    return run


def writable(root: Path, target: Path) -> Path:
    """A copy of a service that everybody shares, to be changed."""
    return Path(shutil.copytree(root, target))
