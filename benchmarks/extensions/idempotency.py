"""Cost of keys for a request that writes, in process: CPU without a key, with a new one and with a known one.

Run with the Python of a rendered service and its folder as the first argument; prints one JSON object, in microseconds.
The database is the one that DATABASE__URL names, migrated.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

REQUESTS = 200
ROUNDS = 7


async def cost(app: Any, state: dict[str, Any], key: Callable[[], str | None]) -> float:
    """Microseconds of CPU of one request: the median of some rounds."""

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 500:
            raise RuntimeError(f"the request was answered with {message['status']}")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def ask() -> None:
        given = key()
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/api/v1/benchmark",
            "query_string": b"",
            "headers": [(b"host", b"service"), *([(b"idempotency-key", given.encode())] if given else [])],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8000),
            "scheme": "http",
            "root_path": "",
            "state": dict(state),
        }
        await app(scope, receive, send)

    rounds = []
    for _ in range(ROUNDS + 1):
        started = process_time()
        for _ in range(REQUESTS):
            await ask()
        rounds.append((process_time() - started) / REQUESTS * 1e6)
    return round(median(rounds[1:]))


async def measure() -> dict[str, float]:
    """The cost of each kind of request, to a route that itself does nothing."""
    from app.core.component import Component
    from app.core.versioning import versioned
    from app.main import create_app, default_components, load_settings

    router = versioned("benchmark")

    @router.post("")
    async def do() -> dict[str, str]:
        return {"answer": "done"}

    settings = load_settings()
    app = create_app([*default_components(settings), Component(name="benchmark", routers=[router])], settings)
    numbers, run = count(), os.urandom(8).hex()
    async with app.router.lifespan_context(app) as state:
        return {
            "without a key": await cost(app, dict(state or {}), lambda: None),
            "with a new key": await cost(app, dict(state or {}), lambda: f"{run}-{next(numbers)}"),
            "with a known key": await cost(app, dict(state or {}), lambda: f"{run}-0"),
        }


def main() -> None:
    """Measure, with the access log thrown away, and print."""
    service = Path(sys.argv[1]).resolve()
    os.chdir(service)
    sys.path[0] = str(service)  # in place of this folder, whose files are named like libraries
    out = sys.stdout
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere
        found = asyncio.run(measure())
        sys.stdout = out
    print(json.dumps(found))


if __name__ == "__main__":
    main()
