"""`make bench`: render a service, measure it beside what it is compared to, and write `results.md`."""

import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import data, databases, image, load, start, throughput
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered
from tests.render import render

RESULTS = Path(__file__).parent / "results.md"
MOST_MICROSECONDS = 25.0
"""FEATURES, row P4."""
LEAST_SHARE = 0.65
"""FEATURES, row P1."""


def core_cost(service: Rendered) -> dict[str, float]:
    """Microseconds of CPU per request."""
    command = [service.python, Path(__file__).parent / "core_cost.py", service.root]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=service.environment(), timeout=300)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(cost: dict[str, float], served: dict[str, float], more: str) -> str:
    """Return the page of results; `more` has the lines of the measures that write their own."""
    added = cost["core"] - cost["bare"]
    return f"""# Measured speed

`make bench` writes this page. The figures hold for one machine; what counts is how the two columns compare.
Python {platform.python_version()}, {platform.system()} {platform.machine()}.

| Measure | Compared to | Groundwork | Result | Target |
|---|---|---|---|---|
| CPU of a request in process, with production's settings | {cost["bare"]:.1f} µs, bare FastAPI \
| {cost["core"]:.1f} µs | {added:+.1f} µs, {cost["bare"] / cost["core"]:.2f} of its speed \
| {MOST_MICROSECONDS:g} µs at most |
| CPU of a request over HTTP, `production` without tracing | {served["bare"]:.1f} µs, bare FastAPI \
| {served["full"]:.1f} µs | {served["bare"] / served["full"]:.2f} of its speed | {LEAST_SHARE:g} at least |
| The same | {served["routed"]:.1f} µs, bare FastAPI with its routes in routers \
| {served["full"]:.1f} µs | {served["routed"] / served["full"]:.2f} of its speed | |
{more}"""


def main() -> int:
    """Measure, write and print. Exit status 1 where a target is missed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = render(Path(folder, "service"), {"database": "sqlite", "extensions": []})
        service = Rendered(
            root, interpreter(DEFAULT, development=False), database=f"sqlite+aiosqlite:///{folder}/service.db"
        )
        service.migrate()
        cost, served, started = core_cost(service), throughput.measure(Path(folder)), start.measure(Path(folder))
    stored, compared, loaded, packed = databases.measure(), data.measure(), load.measure(), image.measure()
    more = start.rows(started) + databases.rows(stored) + data.rows(compared) + load.rows(loaded) + image.rows(packed)
    page = report(cost, served, more)
    RESULTS.write_text(page, encoding="utf-8")
    print(page)
    slow = cost["core"] - cost["bare"] > MOST_MICROSECONDS or served["bare"] / served["full"] < LEAST_SHARE
    slow = slow or not (start.held(started) and databases.held(stored) and data.held(compared))
    return int(slow or not (load.held(loaded) and image.held(packed)))


if __name__ == "__main__":
    sys.exit(main())
