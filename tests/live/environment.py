"""The virtual environments that services run in: one for each Python, with everything that any service may ask for."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from tests.manifests import REPOSITORY, manifest, names
from tests.tree import required

DEFAULT = "3.13"
"""The Python that most services run on, as copier.yml suggests it."""
OLDEST = "3.11"
REQUIREMENTS = REPOSITORY / "tests" / "service" / "requirements.txt"
"""The libraries that the tests of the core need and services do without; an extension lists its own in its manifest."""


def uv() -> str:
    """The path of uv."""
    found = shutil.which("uv")
    assert found, "uv is missing: install it with `python3 -m pip install uv` (https://docs.astral.sh/uv/)"
    return found


def clean() -> dict[str, str]:
    """Return the environment of this process without what is its own, and with a cache that all runs of mypy share.

    Its own are its settings and its virtual environment. The cache is one per worker of pytest-xdist: mypy
    reads the types of a library once for all services, wherever their virtual environments are.
    """
    own = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    own |= {"PYTHONDONTWRITEBYTECODE"}  # some images set it, and each process would compile all that it imports
    kept = {name: value for name, value in os.environ.items() if name not in own and "__" not in name.strip("_")}
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    return {"MYPY_CACHE_DIR": str(Path(sys.prefix, "services", f"mypy-{worker}")), **kept}


@contextmanager
def alone(name: Path) -> Iterator[None]:
    """One process at a time, of all that run tests."""
    name.parent.mkdir(parents=True, exist_ok=True)
    with name.with_name(f"{name.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def requirements(*, development: bool = True) -> list[str]:
    """Return all libraries that a service or the tests that run in it may need, or those that are deployed."""
    kinds = ["dependencies", "dev-dependencies", "test-dependencies"] if development else ["dependencies"]
    found = required(development=development) + (REQUIREMENTS.read_text().split() if development else [])
    for name in names():
        found += [entry for kind in kinds for entry in manifest(name).get(kind, [])]
    return sorted(set(found))


def interpreter(version: str, *, development: bool = True) -> Path:
    """The `python` of an environment that has everything; made once, whoever asks first, and kept for the next run."""
    wanted = requirements(development=development)
    place = Path(sys.prefix) / "services" / f"{version}-{sha256(repr(wanted).encode()).hexdigest()[:8]}"
    python = place / "bin" / "python"
    with alone(place):
        if not (place / "complete").exists():
            made = _uv("venv", "--clear", "--python", version, str(place))
            assert made.returncode == 0, f"Python {version} is missing: `uv python install {version}`\n{made.stderr}"
            installed = _uv("pip", "install", "--compile-bytecode", "--python", str(python), *wanted)
            assert installed.returncode == 0, installed.stderr
            (place / "complete").touch()
    return python


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [uv(), *arguments, "--quiet"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean(), timeout=600)
