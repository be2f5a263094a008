"""The programs that delivery is tried with. One that is missing fails the test with the command that installs it."""

import os
import shutil
import sys
from pathlib import Path

PACKAGES = {
    "buildah": "apt-get install buildah",
    "curl": "apt-get install curl",
    "debootstrap": "apt-get install debootstrap",
    "kubectl": "apt-get install kubernetes-client",
    "pgbackrest": "apt-get install pgbackrest",
    "promtool": "apt-get install prometheus",
    "systemd-analyze": "apt-get install systemd",
    "systemd-nspawn": "apt-get install systemd-container",
}
"""Programs that no wheel brings. The others are in the development group of pyproject.toml."""


def tool(name: str) -> str:
    """The path of a program: beside this Python, where wheels put theirs, or on the PATH."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=places)
    assert found, f"{name} is missing: install it with `{PACKAGES.get(name, 'uv sync')}`"
    return found
