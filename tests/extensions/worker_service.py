"""A service whose owner has chores for background jobs: its processes, where its jobs wait, and what they noted."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from tests.extensions import valkey
from tests.live import postgres
from tests.live.conftest import Run
from tests.live.service import BOUND, Rendered, Service

CLOCK = Path(__file__).parent / "another_clock.py"
SERVERS = {"sqlite": ["redis", "worker"], "postgres": ["worker"]}
"""The extensions enabled on each database, and so the place of jobs: a Redis, or the database itself."""


Server = valkey.Server | postgres.Server


class Worker:
    """The worker's process."""

    def __init__(self, rendered: Rendered, log: Path, settings: dict[str, str], *, ahead: float = 0) -> None:
        self.log = log
        command = [CLOCK, str(ahead)] if ahead else ["-m", "app"]
        with log.open("a") as stream:
            self.process = subprocess.Popen(
                [rendered.python, *command, "worker"],
                cwd=rendered.root,
                env=rendered.environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> None:
        """Wait until it has opened everything."""
        until(lambda: "the worker starts" in self.log.read_text(), f"the worker starts:\n{self.log.read_text()}")

    def stop(self) -> int:
        """Ask it to stop, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=BOUND)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(timeout=BOUND)


class WorkerService:
    """A service, its workers, where their jobs wait, and what they have noted."""

    def __init__(self, rendered: Rendered, server: Server, directory: Path, run: Run) -> None:
        self.rendered = rendered
        self.server = server
        self.directory = directory
        self.notes = directory / "notes"
        self.notes.touch()
        # A queue of its own: a job that another test has left would be done in this one.
        self.settings = {"CHORES_FILE": str(self.notes), "WORKER__HEARTBEAT": "2", "WORKER__QUEUE": uuid4().hex}
        if isinstance(server, valkey.Server):
            self.settings["WORKER__URL"] = server.url
        self.service: Service = run(rendered, **self.settings)
        self.workers: list[Worker] = []

    def work(self, *, ahead: float = 0, **settings: str) -> Worker:
        """Start a worker, with a clock that is some seconds ahead."""
        log = self.directory / f"worker-{len(self.workers)}.log"
        self.workers.append(Worker(self.rendered, log, {**self.settings, **settings}, ahead=ahead))
        self.workers[-1].ready()
        return self.workers[-1]

    def enqueue(
        self,
        room: str,
        **parameters: str | float,
    ) -> None:
        """Have a room cleaned."""
        answer = self.service.http.post(
            f"/api/v1/chores/{room}", params=parameters, headers={"X-Correlation-ID": f"chore-{room}"}
        )
        assert answer.status_code == 202, answer.text

    def noted(self) -> Counter[str]:
        """Return how often each thing was noted."""
        return Counter(self.notes.read_text().splitlines())

    def text(self) -> str:
        """All that its processes have written."""
        return self.service.text() + "".join(worker.log.read_text() for worker in self.workers)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
