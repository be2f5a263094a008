"""A generated service as a process: started on a free port, its lines collected, asked over HTTP, stopped."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.live.environment import clean

BOUND = 40.0
"""Seconds in which anything that a test waits for has to happen, on a busy machine too."""
ORDERS = "/api/v1/orders"
Line = dict[str, Any]

_FIRST = 10_000 + 2000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = cycle(range(_FIRST, _FIRST + 2000))
"""The ports of this worker, below those that the system gives to clients."""


def free_port() -> int:
    """Return a free port that no client and no other worker takes before the test does."""
    while True:
        port = next(PORTS)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            return port


def order(reference: str, **more: Any) -> dict[str, Any]:
    """The body of an order."""
    return {"reference": reference, "lines": [{"sku": "A-1", "quantity": 2, "unit_price": 150}], **more}


class Rendered:
    """A service on disk, with the Python that has its dependencies and the database that it is given."""

    def __init__(self, root: Path, python: Path, *, database: str) -> None:
        self.root = root
        self.python = python
        self.database = database

    def environment(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of one process: production, a place without secrets, and what the test asks for."""
        given = {"SERVICE__ENVIRONMENT": "production", "SECRETS_DIR": "/nonexistent"}
        given["RATE_LIMIT__ENABLED"] = "false"  # tests come more often than any client may
        if self.database:
            given["DATABASE__URL"] = self.database
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        return {name: value for name, value in (clean() | given | dict(settings or {})).items() if value} | {
            "PATH": path
        }

    def run(
        self, *command: str, timeout: float = 60.0, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a module of the service's Python to its end, its two streams in one."""
        return subprocess.run(
            [self.python, "-m", *command],
            cwd=self.root,
            env=self.environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )

    def make(self, target: str) -> None:
        """Run one of the service's own targets in the shared environment."""
        place = str(self.python.parents[1])
        environment = clean() | {"UV_PROJECT_ENVIRONMENT": place, "UV_NO_SYNC": "1", "VIRTUAL_ENV": place}
        done = subprocess.run(
            ["make", target],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout[-6000:]

    def migrate(self, revision: str = "head") -> None:
        """Bring the database to a revision."""
        done = self.run("alembic", "upgrade", revision)
        assert done.returncode == 0, done.stdout


class Service:
    """A process of a rendered service."""

    def __init__(
        self, rendered: Rendered, log: Path, settings: Mapping[str, str] | None = None, *, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.rendered = rendered
        with log.open("a") as stream:
            self.process = subprocess.Popen(
                [rendered.python, "-m", "app"],
                cwd=rendered.root,
                env=rendered.environment({"SERVER__PORT": str(self.port), **(settings or {})}),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its workers can be ended with it
            )
        self.http = httpx2.Client(base_url=self.url, timeout=BOUND)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave nothing behind, however the test went."""
        self.kill()

    def kill(self) -> None:
        """End it, and all that it has started, at once."""
        self.http.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=BOUND)

    def ready(self, *, status: int = 200) -> Self:
        """Wait until /health/ready answers so."""
        deadline = time.monotonic() + BOUND
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the service stopped at its start:\n{self.text()}"
            with suppress(httpx2.TransportError):
                if self.http.get("/health/ready", timeout=5).status_code == status:
                    return self
            time.sleep(0.02)
        raise AssertionError(f"the service is not ready after {BOUND} seconds:\n{self.text()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop, and return its exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout=BOUND)

    def text(self) -> str:
        """All that it has written."""
        return self.log.read_text()

    def lines(self) -> list[Line]:
        """Every line that it has written, each of which has to be JSON."""
        found = []
        for line in self.text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                raise AssertionError(f"this line is not JSON: {line}\nin:\n{self.text()}") from None
        return found

    def troubles(self) -> list[Line]:
        """The lines that warn, or are worse, without those of the start: the sample can be written to by anyone."""
        quiet = {"debug", "info"}
        return [
            line
            for line in self.lines()
            if line["level"] not in quiet and line["logger"] != "app.core.http.application"
        ]

    def logged(self, **fields: Any) -> list[Line]:
        """The lines that have these fields, as soon as there is one."""
        deadline = time.monotonic() + BOUND
        while True:
            found = [line for line in self.lines() if fields.items() <= line.items()]
            if found:
                return found
            assert time.monotonic() < deadline, f"no line has {fields}:\n{self.text()}"
            time.sleep(0.02)


@contextmanager
def running(
    rendered: Rendered, log: Path, settings: Mapping[str, str] | None = None, *, port: int | None = None
) -> Iterator[Service]:
    """A ready service, gone at the end."""
    with Service(rendered, log, settings, port=port) as service:
        yield service.ready()
