"""A machine that a service is installed on: a folder in place of its root, with the manager that stands for systemd."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.delivery.tools import tool
from tests.delivery.units import Unit, read
from tests.live.environment import DEFAULT, clean, interpreter
from tests.live.service import BOUND, free_port
from tests.manifests import REPOSITORY

NAME = "my-service"
PLAIN: dict[str, Any] = {"database": "sqlite", "extensions": [], "delivery": ["systemd"]}
"""A service that starts in a second."""


class Machine:
    """`install()` runs the shipped install.sh of a checkout, as its owner would. Nothing outside `root` is touched."""

    def __init__(self, root: Path, checkout: Path, *, real_uv: bool = False) -> None:
        self.root = root
        self.checkout = checkout
        self.ports = {port: str(free_port()) for port in ("8000", "8001", "8002")}
        self.units = root / "etc/systemd/system"
        self.home = root / "opt" / NAME
        self.etc = root / "etc" / NAME
        self.bin = root / "bin"
        self.bin.mkdir(parents=True)
        python = interpreter(DEFAULT)
        self._program("systemctl", f'PYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m tests.delivery.manager "$@"')
        self._program(
            "journalctl", f'for unit; do :; done; tail -n 5 "{root}/run/${{unit%.service}}.service.log"'
        )  # of the last that is named
        self._program("caddy", f'exec "{tool("caddy")}" "$@"')
        # Dependencies that are there already, in place of half a minute of installing for each release.
        self._program(
            "uv", f'exec "{tool("uv")}" "$@"' if real_uv else f'ln -s "{python.parents[1]}" "$UV_PROJECT_ENVIRONMENT"'
        )
        if not real_uv:
            (checkout / "uv.lock").touch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End every process that the manager has started."""
        for file in (self.root / "run").glob("*.pid"):
            with suppress(ProcessLookupError):
                os.killpg(int(file.read_text()), signal.SIGKILL)

    def _program(self, name: str, line: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def environment(self) -> dict[str, str]:
        """The variables of whoever installs: no program but the machine's own, and ours."""
        named = {"ROOT": str(self.root), "PORTS": json.dumps(self.ports), "PATH": f"{self.bin}:/usr/bin:/bin"}
        return (
            clean() | named | {"XDG_DATA_HOME": str(self.root / "caddy"), "XDG_CONFIG_HOME": str(self.root / "caddy")}
        )

    def install(self, *arguments: str, status: int = 0, **variables: str) -> str:
        """Run install.sh, and return what it says on both streams."""
        done = subprocess.run(
            [self.checkout / "ops/systemd/install.sh", *arguments],
            cwd=self.root,
            env=self.environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == status, f"status {done.returncode}:\n{done.stdout}\n{self.log()}"
        return done.stdout

    def secret(self, name: str, value: str) -> None:
        """Write a secret as docs/deployment.md has it."""
        (self.etc / "secrets").mkdir(parents=True, exist_ok=True)
        (self.etc / "secrets" / name).write_text(value)

    def settings(self, **values: str) -> None:
        """Write the machine's settings."""
        self.etc.mkdir(parents=True, exist_ok=True)
        (self.etc / "settings.env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def calls(self) -> list[str]:
        """Return the calls of systemctl since the last look."""
        file = self.root / "calls"
        found = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return found

    def log(self, unit: str = "*") -> str:
        """Return the output of the processes."""
        return "".join(file.read_text() for file in sorted((self.root / "run").glob(f"{unit}.log")))

    def unit(self, name: str) -> Unit:
        """A unit as it is installed."""
        return read(self.units, name)

    def release(self) -> str:
        """The release that `current` points to, or nothing."""
        link = self.home / "current"
        return link.readlink().name if link.is_symlink() else ""

    def version(self, port: str = "8000") -> str:
        """The version that an instance says it has, asked as an operator does."""
        answer = httpx2.get(f"http://127.0.0.1:{self.ports[port]}/health", timeout=BOUND)
        return str(answer.json()["version"])

    def pids(self) -> dict[str, str]:
        """The process of each unit that runs."""
        return {file.stem: file.read_text() for file in sorted((self.root / "run").glob("*.pid"))}

    def edit(self, path: str, old: str, new: str) -> None:
        """Change the checkout."""
        text = (self.checkout / path).read_text()
        assert old in text
        (self.checkout / path).write_text(text.replace(old, new))


def checkout(rendered: Path, target: Path) -> Path:
    """A copy of a rendered service, which its owner may change."""
    return Path(shutil.copytree(rendered, target))


def until(wanted: object, look: object, seconds: float = BOUND) -> None:
    """Wait until `look()` is `wanted`."""
    assert callable(look)
    deadline = time.monotonic() + seconds
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, f"{found!r} is not {wanted!r}"
        time.sleep(0.05)
