"""Cost of a cached read, in process: CPU of a hit, a miss and a read without the server, beside one bare GET.

Run with the Python of a rendered service and its folder as the first argument; prints one JSON object, in microseconds.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

READS = 1000
ROUNDS = 9


async def cost(read: Callable[[], Awaitable[object]]) -> float:
    """Microseconds of CPU of one read: the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS + 1):
        started = process_time()
        for _ in range(READS):
            await read()
        rounds.append((process_time() - started) / READS * 1e6)
    return round(median(rounds[1:]), 1)


async def measure(directory: Path) -> dict[str, float]:
    """The cost of each kind of read."""
    from app.extensions.redis import Cache, RedisSettings, cached, connect
    from app.extensions.redis.decorator import running
    from dev.servers import redis as servers

    port = servers.free_port()
    server = servers.start(directory, port)
    settings = RedisSettings(url=f"redis://127.0.0.1:{port}/0")
    connection = connect(settings)
    numbers = count()

    @cached(ttl=60, key="product:{number}")
    async def find(number: int) -> dict[str, int]:
        return {"number": number}

    with running(Cache(connection, settings, "benchmark")):
        found = {
            "get": await cost(lambda: connection.command("GET", "nothing")),
            "hit": await cost(lambda: find(-1)),
            "miss": await cost(lambda: find(next(numbers))),
        }
        server.kill()
        server.wait()
        found["without the server"] = await cost(lambda: find(-1))
    await connection.close()
    return found


def main() -> None:
    """Measure."""
    service = Path(sys.argv[1]).resolve()
    os.chdir(service)
    sys.path[0] = str(service)  # in place of this folder, whose files are named like libraries
    with TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(measure(Path(directory)))))


if __name__ == "__main__":
    main()
