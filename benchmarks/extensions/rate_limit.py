"""Cost of the limit for a request, in process: CPU of its middleware around nothing, in memory and with a storage.

Run with the Python of a rendered service and its folder as the first argument; prints one JSON object, in microseconds.
`python -m tests.service.overlay SERVICE` comes first: it brings the storage's server.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

ROUNDS = 9
sys.path.append(str(Path(__file__).parents[2] / "extensions" / "rate_limit" / "tests"))  # its server
HEADERS = [(b"host", b"service"), (b"user-agent", b"wrk"), (b"accept", b"*/*")]


async def nothing(*_: Any) -> None:
    """An application that does nothing."""


async def cost(app: Callable[..., Awaitable[None]], headers: list[tuple[bytes, bytes]], requests: int) -> float:
    """Microseconds of CPU of one request: the median of some rounds."""
    from starlette.applications import Starlette

    from app.core import context

    scope = {"type": "http", "path": "/api/v1/things", "method": "GET", "headers": headers, "app": Starlette()}
    rounds = []
    for _ in range(ROUNDS + 1):
        started = process_time()
        for _ in range(requests):
            context.enter(context.RequestContext(method="GET", path="/api/v1/things", client="203.0.113.7"))
            await app(scope, nothing, nothing)
        rounds.append((process_time() - started) / requests * 1e6)
    return median(rounds[1:])


async def measure(directory: Path) -> dict[str, float]:
    """Return the microseconds of CPU that the limit adds to a request."""
    from servers import Server

    from app.extensions.rate_limit.middleware import RateLimit
    from app.extensions.rate_limit.settings import RateLimitSettings
    from app.extensions.rate_limit.windows import SharedCounters

    server = Server(directory)
    settings = RateLimitSettings(per_minute=10**9, per_hour=10**9, storage_url=server.url)
    shared = SharedCounters(settings, "benchmark")
    without = await cost(nothing, HEADERS, 10_000)
    in_memory = RateLimit(nothing, settings, None)
    found = {
        "in memory": await cost(in_memory, HEADERS, 10_000) - without,
        "in memory, with a key": await cost(in_memory, [*HEADERS, (b"x-api-key", b"k" * 43)], 10_000) - without,
        "with a storage": await cost(RateLimit(nothing, settings, shared), HEADERS, 1000) - without,
    }
    await shared.client.close()
    server.kill()
    return {name: round(value, 1) for name, value in found.items()}


def main() -> None:
    """Measure."""
    service = Path(sys.argv[1]).resolve()
    os.chdir(service)
    sys.path[0] = str(service)  # in place of this folder, whose files are named like libraries
    with TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(measure(Path(directory)))))


if __name__ == "__main__":
    main()
