"""Cost of Sentry for a request, in process: CPU of a success with it over the same without, sending included.

`python -m benchmarks.extensions.sentry SERVICE`, with the Python of that rendered service; prints microseconds.
"""

import asyncio
import json
import sys
from pathlib import Path

from benchmarks.extensions import in_process

SHARES = {"errors alone": 0.0, "a tenth timed": 0.1, "all timed": 1.0}


async def measure(port: int) -> dict[str, float]:
    """The cost by the share of the requests that are timed."""
    from fastapi import APIRouter
    from pydantic import SecretStr

    from app.core.settings import ServiceSettings
    from app.extensions.sentry.reporter import reporter
    from app.extensions.sentry.settings import SentrySettings

    router = APIRouter()

    @router.get("/benchmark")
    async def answer() -> dict[str, str]:
        return {"answer": "done"}

    dsn = SecretStr(f"http://key@127.0.0.1:{port}/1")
    cases = {
        name: reporter(SentrySettings(dsn=dsn, traces_sample_rate=share), ServiceSettings())
        for name, share in SHARES.items()
    }
    return await in_process.while_open(router, {}, "/benchmark", cases)


if __name__ == "__main__":
    in_process.enter(Path(sys.argv[1]).resolve())
    with in_process.swallowing() as port:
        print(json.dumps(asyncio.run(measure(port))))
