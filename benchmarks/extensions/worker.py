"""Cost of enqueuing a job for a request, in process: CPU of a transaction, and of one with a job.

Run with the Python of a rendered service and its folder as the first argument; prints one JSON object, in microseconds.
The database is the one that DATABASE__URL names, migrated; jobs wait where WORKER__URL says, or in it.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from time import process_time

TIMES = 200
ROUNDS = 9


async def cost(write: Callable[[], Awaitable[object]]) -> float:
    """Microseconds of CPU of one transaction: the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS + 1):
        started = process_time()
        for _ in range(TIMES):
            await write()
        rounds.append((process_time() - started) / TIMES * 1e6)
    return round(median(rounds[1:]))


async def measure() -> dict[str, float]:
    """The cost of each."""
    from sqlalchemy import text

    from app.core.component import Component
    from app.extensions.worker import job
    from app.main import create_app, default_components, load_settings

    @job()
    async def benchmark(_: Component, number: int) -> None: ...

    settings = load_settings()
    app = create_app(default_components(settings), settings)
    async with app.router.lifespan_context(app) as state:
        database, jobs = state["database"], state["jobs"]

        async def write(*, enqueue: bool) -> None:
            async with database.transaction() as session:
                await session.execute(text("SELECT 1"))
                if enqueue:
                    await jobs.enqueue(benchmark.later(7), within=session)

        return {
            "a transaction": await cost(lambda: write(enqueue=False)),
            "with a job": await cost(lambda: write(enqueue=True)),
        }


def main() -> None:
    """Measure, and print."""
    service = Path(sys.argv[1]).resolve()
    os.chdir(service)
    sys.path[0] = str(service)  # in place of this folder, whose files are named like libraries
    print(json.dumps(asyncio.run(measure())))


if __name__ == "__main__":
    main()
