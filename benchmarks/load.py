"""The load that `production` on PostgreSQL holds in the shipped load test, with callers on the same machine (row P9).

`python -m benchmarks.load` measures it alone. The CPU of each party says which of them is the limit.
"""

import os
import tempfile
from pathlib import Path

import psutil

from tests.delivery.callers import command, counted, ran
from tests.live import postgres
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered, running
from tests.render import render

WORKERS = 2
SECONDS = 60
LEAST_RATE = 1000
MOST_P95 = 100
ANYTHING = {"min_rate": 0, "max_p95": 1_000_000, "max_errors": 100}
"""The thresholds of a run that is to end well, whatever is measured."""


def cpu(first: psutil.Process) -> float:
    """Seconds of CPU that a process and all that it has started took so far, those included that have ended."""
    return sum(sum(process.cpu_times()[:4]) for process in [first, *first.children(recursive=True)])


def ended() -> float:
    """Seconds of CPU that the children of this process took which have ended: of a load test, all of its callers."""
    return os.times().children_user + os.times().children_system


def measure() -> dict[str, float]:
    """Requests a second, their p95 in milliseconds, how many failed, and milliseconds of CPU a request by party."""
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder, postgres.serve() as server:
        answers = {"preset": "production", "database": "postgres", "delivery": ["load_tests"]}
        python = interpreter(DEFAULT, development=False)
        service = Rendered(render(Path(folder, "service"), answers), python, database=server.database())
        service.migrate()
        settings = {"SERVER__WORKERS": str(WORKERS), "AUDIT__KEY": "0" * 32}
        with running(service, Path(folder, "log"), settings) as started:
            parties = {"service": psutil.Process(started.process.pid), "postgres": server.processes()[0]}
            before = {name: cpu(process) for name, process in parties.items()} | {"callers": ended()}
            typed = command(host=started.url, run_time=f"{SECONDS}s", **ANYTHING)
            done = ran(service, typed, within=SECONDS + 300)
            found = counted(done.returncode, done.stdout)
            after = {name: cpu(process) for name, process in parties.items()} | {"callers": ended()}
    each = {name: round(1000 * (seconds - before[name]) / found.requests, 2) for name, seconds in after.items()}
    return {"rate": found.rate, "p95": found.p95, "failed": found.failed, "requests": found.requests} | each


def held(found: dict[str, float]) -> bool:
    """Return whether the target is reached."""
    return found["rate"] >= LEAST_RATE and found["p95"] <= MOST_P95 and not found["failed"]


def rows(found: dict[str, float]) -> str:
    """Its lines of the page."""
    spent = found["service"] + found["postgres"] + found["callers"]
    return f"""\
| `make load` for {SECONDS} s on {os.cpu_count()} cores: `production` with {WORKERS} workers, PostgreSQL, callers | \
| {found["rate"]:.0f} requests/s, 95 of 100 within {found["p95"]:.0f} ms, \
{found["failed"]:.0f} of {found["requests"]:.0f} failed | {"reached" if held(found) else "not reached"} \
| {LEAST_RATE} requests/s, 95 of 100 within {MOST_P95} ms, none failed |
| CPU of a request of it, four reads to one write | {found["callers"]:.2f} ms, its callers \
| {found["service"]:.2f} ms, and {found["postgres"]:.2f} ms of PostgreSQL | {spent:.2f} ms together | |
"""


if __name__ == "__main__":
    print(rows(measure()))
