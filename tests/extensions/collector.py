"""A collector as a process, to be frozen and killed: the sink of the tests of tracing."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.live.service import BOUND, Rendered
from tests.manifests import EXTENSIONS

PROGRAM = """
import json, sys, time
from sink import sinking

with sinking() as sink:
    sink.status = int(sys.argv[1])
    print(json.dumps(sink.endpoint), flush=True)
    told = 0
    while True:
        for span in sink.spans[told:]:
            print(json.dumps(span._asdict(), default=str), flush=True)
            told += 1
        time.sleep(0.02)
"""
SINK = EXTENSIONS / "tracing" / "tests"
Span = dict[str, Any]


class Collector:
    """One process. `service` has the Python with what the sink imports."""

    def __init__(self, service: Rendered, output: Path, status: int) -> None:
        self.output = output
        with output.open("w") as stream:
            self.process = subprocess.Popen(
                [service.python, "-c", PROGRAM, str(status)], cwd=SINK, env=service.environment(), stdout=stream
            )
        self.endpoint: str = self.until(self.lines)[0]

    def lines(self) -> list[Any]:
        """Return what it has written so far, whole lines alone."""
        return [json.loads(line) for line in self.output.read_text().rpartition("\n")[0].splitlines()]

    def spans(self, **fields: Any) -> list[Span]:
        """The spans that have come so far and have these fields."""
        return [span for span in self.lines()[1:] if fields.items() <= span.items()]

    def until(self, found: Callable[[], Any]) -> Any:
        """Wait until `found` returns something true, and return it."""
        deadline = time.monotonic() + BOUND
        while not (result := found()):
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)
        return result

    def freeze(self) -> None:
        """Keep it from doing anything."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(BOUND)


@contextmanager
def collecting(service: Rendered, directory: Path, status: int = 200) -> Iterator[Collector]:
    """A collector that answers with this status, gone at the end."""
    collector = Collector(service, directory / "spans.jsonl", status)
    try:
        yield collector
    finally:
        collector.kill()
