"""Cost of tracing for a request, in process: CPU with it over the same without, with and without the sending.

`python -m benchmarks.extensions.tracing SERVICE`, with the Python of that rendered service; prints microseconds.
"""

import asyncio
import json
import sys
from pathlib import Path
from time import process_time, thread_time

from benchmarks.extensions import in_process

SHARES = {"none recorded": 0.0, "a tenth recorded": 0.1, "all recorded": 1.0}


async def measure(port: int) -> dict[str, dict[str, float]]:
    """The cost by the share of the requests that are recorded."""
    from fastapi import APIRouter

    from app.core.data.engine import DatabaseSettings
    from app.core.database import Database
    from app.core.settings import ServiceSettings
    from app.extensions.tracing.recorder import recorder
    from app.extensions.tracing.settings import TracingSettings
    from app.main import load_settings

    router = APIRouter()

    @router.get("/benchmark")
    async def answer() -> dict[str, str]:
        return {"answer": "done"}

    endpoint = f"http://127.0.0.1:{port}"
    cases = {
        name: recorder(TracingSettings(endpoint=endpoint, sample_rate=share), ServiceSettings())
        for name, share in SHARES.items()
    }
    state = {"database": Database(load_settings().of(DatabaseSettings))}
    return {
        "in its thread": await in_process.while_open(router, state, "/benchmark", cases, thread_time),
        "with sending": await in_process.while_open(router, state, "/benchmark", cases, process_time),
    }


if __name__ == "__main__":
    in_process.enter(Path(sys.argv[1]).resolve())
    with in_process.swallowing() as port:
        print(json.dumps(asyncio.run(measure(port))))
