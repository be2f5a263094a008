"""ops/systemd/, for every combination of answers: the files are valid and the units locked in."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Render
from tests.delivery.tools import tool
from tests.extensions.prometheus_server import promtool
from tests.matrix.combinations import Answers, every, extremes, label, presets


def enabled(answers: Answers) -> bool:
    """Return whether a service is delivered by systemd, by its answers or by its preset's."""
    return "systemd" in answers["delivery"] if "delivery" in answers else answers["preset"] == "production"


ROWS = [
    pytest.param(
        row, id=label(row), marks=[pytest.mark.xdist_group(label(row)), *([] if row in few else [pytest.mark.full])]
    )
    for few in [[*presets(), *extremes()]]
    for row in every()
    if enabled(row)
]
EXPOSURE = 30
"""Tenths: what `systemd-analyze security` may find at most."""


def checked(*command: str | Path, **variables: str) -> None:
    """Run a program that has to find nothing."""
    done = subprocess.run(
        command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("answers", ROWS)
def test_the_files_are_valid_and_the_units_locked_in(answers: dict[str, Any], rendered: Render, tmp_path: Path) -> None:
    folder = rendered(**answers) / "ops/systemd"
    checked(tool("shellcheck"), folder / "install.sh")
    home = str(tmp_path / "caddy")
    configuration = ("--adapter", "caddyfile", "--config", folder / "Caddyfile")
    checked(tool("caddy"), "validate", *configuration, DOMAIN="localhost", XDG_DATA_HOME=home, XDG_CONFIG_HOME=home)
    checked(tool("caddy"), "fmt", "--diff", folder / "Caddyfile")
    if (folder / "prometheus.yaml").exists():
        promtool("check", "config", "prometheus.yaml", cwd=folder)
    units = tmp_path / "units"
    units.mkdir()
    for file in [*folder.glob("*.service"), *folder.glob("*.timer")]:
        name = "my-service@.service" if file.name == "app@.service" else f"my-service-{file.name}"
        shutil.copy(file, units / name)
        if file.suffix == ".service":
            (units / f"{name}.d").mkdir()
            shutil.copy(folder / "common.conf", units / f"{name}.d")
    for unit in units.glob("*.*er*e*"):
        if unit.is_file():
            name = unit.name.replace("@", "@8000")
            said = subprocess.run(
                [tool("systemd-analyze"), "verify", name],
                cwd=units,
                env=os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert (said.returncode, said.stdout + said.stderr) == (0, "")
            if unit.suffix == ".service":
                checked(
                    tool("systemd-analyze"),
                    "security",
                    "--offline=true",
                    f"--threshold={EXPOSURE}",
                    name,
                    SYSTEMD_UNIT_PATH=f"{units}:",
                )
