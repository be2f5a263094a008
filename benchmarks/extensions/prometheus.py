"""Cost of the metrics for a request, in process: CPU of its two events with them over the same with no listener.

Run with the Python of a rendered service and its folder as the first argument; prints one JSON object, in microseconds.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

REQUESTS = 20_000
ROUNDS = 15


def events(number: int) -> tuple[Any, Any]:
    """Return the events that the core emits for a request: five routes, a few durations, a body now and then."""
    from app.core.telemetry import RequestFinished, RequestStarted

    received = 0 if number % 5 else 200
    route, seconds = f"/api/v1/things/{number % 5}", (0.002, 0.02, 0.2)[number % 3]
    return RequestStarted("GET", route), RequestFinished("GET", route, 200, seconds, received, 500, route)


def once(requests: list[tuple[Any, Any]]) -> float:
    """Microseconds of CPU for one request."""
    from app.core.telemetry import anyone_listens_to, emit

    started = process_time()
    for first, last in requests:
        if anyone_listens_to(type(first)):
            emit(first)
        emit(last)
    return (process_time() - started) / len(requests) * 1e6


async def added(component: Any, requests: list[tuple[Any, Any]]) -> float:
    """Microseconds that the metrics add to a request: the median of interleaved rounds."""
    differences = []
    for _ in range(ROUNDS + 1):
        without = once(requests)
        async with component.lifespan({}):
            differences.append(once(requests) - without)
    return round(median(differences[1:]), 2)


async def measure(service: Path) -> dict[str, float]:
    """Return the cost in a single process, and in one of several that count into files."""
    os.chdir(service)
    sys.path.insert(0, str(service))
    from app.core.settings import load
    from app.extensions import prometheus
    from app.main import SETTINGS

    requests = [events(number) for number in range(REQUESTS)]
    database = {"url": "sqlite+aiosqlite:///./var/service.db"}
    settings = load(SETTINGS, env_file=None, overrides={"database": database})
    one = await added(prometheus.component(settings), requests)
    # Second: from here on the library counts into files, for whatever is made.
    with TemporaryDirectory() as folder:
        server = {"workers": 2, "shared": folder}
        settings = load(SETTINGS, env_file=None, overrides={"database": database, "server": server})
        several = await added(prometheus.component(settings), requests)
    return {"one_process": one, "several_processes": several}


def main() -> None:
    """Measure."""
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]).resolve()))))


if __name__ == "__main__":
    main()
