"""Stands for systemd where none runs: carries out what is asked of `systemctl`, with the units as they were installed.

It starts the very commands of a unit with its very environment and credentials, below the folder `ROOT` in place of the
machine's own root, and waits for ExecStartPost as systemd does. Ports that the units name are others here, by `PORTS`.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.delivery.units import Unit, read

ROOT = Path(os.environ.get("ROOT", "/nonexistent"))
UNITS = ROOT / "etc/systemd/system"
STATE = ROOT / "run"
PORTS: dict[str, str] = json.loads(os.environ.get("PORTS", "{}"))
OURS = re.compile(r"/(?:opt|etc|var/lib|var/log)/my-service\b")
REFUSE_EXEC_GAIN = (65, 1)
"""PR_SET_MDWE and PR_MDWE_REFUSE_EXEC_GAIN of linux/prctl.h: MemoryDenyWriteExecute, of Linux 6.3 and newer."""


def mapped(text: str) -> str:
    """A path or a port of the machine as it is here."""
    text = OURS.sub(lambda found: f"{ROOT}{found[0]}", text)
    for port, other in PORTS.items():
        text = text.replace(port, other)
    return text


def environment(unit: Unit) -> dict[str, str]:
    """Return the variables that the unit sets, without those of this machine, and put its credentials in place."""
    credentials = STATE / "credentials" / unit.name
    shutil.rmtree(credentials, ignore_errors=True)
    for name, path in unit.credentials():
        credentials.mkdir(parents=True, exist_ok=True)
        shutil.copy(mapped(path), credentials / name)
    for folder in ("StateDirectory", "LogsDirectory"):
        for name in unit.all(folder):
            (ROOT / ("var/lib" if folder == "StateDirectory" else "var/log") / name).mkdir(parents=True, exist_ok=True)
    given = unit.environment(credentials, mapped)
    if not credentials.exists():  # systemd makes the folder unreadable then
        assert str(credentials) not in " ".join(given.values()), f"{unit.name} is given no secret, and looks for some"
    plain = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(ROOT)}
    return plain | given


def restrained(unit: Unit) -> None:
    """Apply the part of the sandbox that a plain process can be put under."""
    if unit.last("MemoryDenyWriteExecute") == "yes":
        ctypes.CDLL(None).prctl(*REFUSE_EXEC_GAIN, 0, 0, 0)


def start(unit: Unit) -> int:
    """Start a unit; a oneshot has ended then, and any other is up as its ExecStartPost says."""
    variables = environment(unit)
    command = unit.command("ExecStart", mapped)
    STATE.mkdir(exist_ok=True)
    with (STATE / f"{unit.name}.log").open("a") as log:
        process = subprocess.Popen(
            command,
            cwd=mapped(unit.last("WorkingDirectory", "/")),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: restrained(unit),
        )
    if unit.last("Type") == "oneshot":
        return process.wait()
    (STATE / f"{unit.name}.pid").write_text(str(process.pid))
    after = unit.command("ExecStartPost", mapped)
    if after:
        waiting = subprocess.Popen(after, env=variables)
        while waiting.poll() is None and process.poll() is None:
            time.sleep(0.02)
        waiting.kill()
        if waiting.wait() != 0 or process.poll() is not None:
            stop(unit)
            return 1
    return 0


def stop(unit: Unit) -> None:
    """SIGTERM, and SIGKILL once its time is over."""
    file = STATE / f"{unit.name}.pid"
    if not file.exists():
        return
    pid = int(file.read_text())
    deadline = time.monotonic() + unit.seconds("TimeoutStopSec")
    with suppress(ProcessLookupError, FileNotFoundError):  # gone, and waited for by whoever is its parent now
        os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
    file.unlink()


def main() -> int:
    """One call of systemctl, noted down."""
    with (ROOT / "calls").open("a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
    verb, *names = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    names = [name if "." in name else f"{name}.service" for name in names if not name.endswith(".timer")]
    stops = {"stop", "restart"} | ({"disable"} if "--now" in sys.argv else set())
    for unit in [read(UNITS, name) for name in names if name != "caddy.service" and verb in {"start", *stops}]:
        if verb in stops:
            stop(unit)
        if verb in {"start", "restart"} and start(unit) != 0:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
