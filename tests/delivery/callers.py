"""`make load` of a rendered service, run for real, and what locust counted."""

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.live.service import BOUND, Rendered

VERDICT = re.compile(r"^load test passed: ([\d.]+) requests/s, 95 of 100 within (\d+) ms, (\d+) of (\d+) failed$", re.M)


@dataclass(frozen=True)
class Counted:
    """The last line of a load test that was held to what it holds."""

    rate: float
    p95: int
    failed: int
    requests: int


def command(**flags: object) -> list[str]:
    """Return the command of a load test; `run_time="2s"` is `--run-time 2s`."""
    return ["make", "load", "ARGS=" + " ".join(f"--{name.replace('_', '-')} {value}" for name, value in flags.items())]


def ran(service: Rendered, typed: Sequence[str], *, within: float) -> "subprocess.CompletedProcess[str]":
    """Run what is typed in the service's folder; `stdout` has both its streams."""
    return subprocess.run(
        typed,
        cwd=service.root,
        env=service.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=within,
    )


def counted(status: int, printed: str) -> Counted:
    """Return the counts that a load test prints."""
    found = VERDICT.search(printed)
    assert status == 0, printed
    assert found, printed
    rate, p95, failed, requests = found.groups()
    return Counted(float(rate), int(p95), int(failed), int(requests))


class Callers:
    """A load test under way. `stop()` is the Ctrl-C of whoever has started it."""

    def __init__(self, started: "subprocess.Popen[str]", log: Path) -> None:
        self._started = started
        self._log = log

    def stop(self) -> Counted:
        """End it before its time, and return what was counted."""
        assert self._started.poll() is None, self._log.read_text()
        *_, locust = psutil.Process(self._started.pid).children(recursive=True)
        locust.send_signal(signal.SIGINT)
        status = self._started.wait(timeout=BOUND)
        return counted(status, self._log.read_text())


@contextmanager
def calling(root: Path, environment: Mapping[str, str], log: Path, **flags: object) -> Iterator[Callers]:
    """Start a load test, gone at the end."""
    with log.open("w") as stream:
        started = subprocess.Popen(
            command(**flags), cwd=root, env=environment, stdout=stream, stderr=subprocess.STDOUT, text=True
        )
    try:
        yield Callers(started, log)
    finally:
        if started.poll() is None:
            for process in (*psutil.Process(started.pid).children(recursive=True), psutil.Process(started.pid)):
                process.kill()
            started.wait(timeout=BOUND)
