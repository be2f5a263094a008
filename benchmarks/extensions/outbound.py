"""Cost of the guard for a call, in process, over httpx2 alone and over a bare function.

`python -m benchmarks.extensions.outbound SERVICE`, with the Python of that rendered service; prints microseconds.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from benchmarks.extensions import in_process

CALLS = 1000
ROUNDS = 15


async def measure() -> dict[str, float]:
    """Return the cost of a client's call over one of httpx2, and of a decorated function over the bare one."""
    import httpx2

    from app.extensions.outbound import Client, resilient
    from app.extensions.outbound.guard import Guard
    from app.extensions.outbound.settings import Policy

    logging.getLogger("httpx2").setLevel(logging.WARNING)

    async def served(_: Any) -> Any:
        return httpx2.Response(200, content=b"{}")

    async def bare() -> int:
        return 42

    transport = httpx2.MockTransport(served)
    alone = httpx2.AsyncClient(transport=transport, base_url="http://other")
    policy = Policy(url="http://other")
    client = Client(Guard("other", policy), transport=transport)
    calls = {
        "httpx2": lambda: alone.get("/"),
        "client": lambda: client.get("/"),
        "bare": bare,
        "function": resilient("other")(bare),
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            started = process_time()
            for _ in range(CALLS):
                await call()
            if number:  # the first round warms up
                taken[name].append((process_time() - started) / CALLS * 1e6)
    found = {name: median(values) for name, values in taken.items()}
    return {
        "client_over_httpx2": round(found["client"] - found["httpx2"], 1),
        "function": round(found["function"] - found["bare"], 1),
    }


if __name__ == "__main__":
    in_process.enter(Path(sys.argv[1]).resolve())
    print(json.dumps(asyncio.run(measure())))
