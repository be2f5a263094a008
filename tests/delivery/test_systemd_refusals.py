"""install.sh, given what is wrong or on a machine where something is missing: one line, and nothing is touched."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.delivery.machine import PLAIN, Machine, checkout
from tests.delivery.tools import tool


@pytest.fixture
def machine(rendered: Render, tmp_path: Path) -> Iterator[Machine]:
    """A machine that the plain service is not installed on yet."""
    with Machine(tmp_path / "root", checkout(rendered(**PLAIN), tmp_path / "checkout")) as found:
        found.settings(LIFECYCLE__DRAIN="0")
        yield found


DOMAINS = [
    "https://api.example.com",
    "api.example.com:443",
    "api.example.com/",
    "-api.example.com",
    "api..com",
    "10.0.0.1",
    "a b",
]


@pytest.mark.parametrize("domain", DOMAINS)
def test_an_invalid_domain_is_refused(domain: str, machine: Machine) -> None:
    refused(machine, f"--domain: {domain} is no host name, it has to look like api.example.com", "--domain", domain)


@pytest.mark.parametrize("name", ["uv", "caddy", "systemctl", "curl"])
def test_a_missing_program_is_named_with_what_to_do(name: str, machine: Machine, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for other in {"bash", "sh", "dirname", "sed", "curl"} - {name}:
        (few / other).symlink_to(tool(other))
    (machine.bin / name).unlink(missing_ok=True)
    refused(machine, f"{name} is missing: ", "--domain", "localhost", PATH=f"{machine.bin}:{few}")


def test_what_else_is_missing_or_wrong_is_one_line(machine: Machine) -> None:
    refused(machine, "--domain is missing: name the host that callers use, such as api.example.com")
    refused(machine, "--damain: there is no such option, see --help", "--damain")
    refused(machine, "--domain: takes a host name such as api.example.com", "--domain")
    refused(machine, "--rollback: there is no release before this one", "--rollback")
    machine.settings(SERVER__PORT="9000")
    refused(machine, f"{machine.etc}/settings.env: SERVER__PORT would be the same for both", "--domain", "localhost")
    machine.settings(LIFECYCLE__DRAIN="0")
    machine.secret("HEALTH__KEY", "")
    refused(machine, f"{machine.etc}/secrets/HEALTH__KEY is empty: ", "--domain", "localhost")
    machine.secret("HEALTH__KEY", "change-me")
    refused(machine, "HEALTH__KEY: still holds the placeholder of .env.example", "--domain", "localhost")
    machine.secret("HEALTH__KEY", "a key that operators have")
    machine.settings(LOG__LEVLE="DEBUG")
    refused(machine, "LOG__LEVLE: unknown setting, did you mean LOG__LEVEL?", "--domain", "localhost")
    (machine.checkout / "uv.lock").unlink()
    refused(machine, "uv.lock is missing: run `uv lock`", "--check", "--domain", "localhost")


def test_who_is_not_root_is_told_so(machine: Machine) -> None:
    other = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    script = machine.checkout / "ops/systemd/install.sh"
    done = subprocess.run(
        ["bash", "-s", "--", "--domain", "localhost"],
        input=script.read_text(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **other,  # type: ignore[call-overload]
    )
    assert (done.returncode, done.stderr) == (2, "install.sh: must be run as root: sudo bash\n")


def refused(machine: Machine, line: str, *arguments: str, **variables: str) -> None:
    """It is refused in one line that begins so, and nothing was started or laid anywhere."""
    said = machine.install(*arguments, status=2, **variables).splitlines()
    assert [one for one in said if one.startswith("install.sh: ")] == said[-1:]
    assert said[-1].startswith(f"install.sh: {line}")
    assert not machine.units.exists()
    assert machine.calls() == []
    assert machine.release() == ""
