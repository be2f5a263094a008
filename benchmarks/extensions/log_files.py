"""CPU cost of the files for a request, in process: its access record with them, writing included, over one without.

Run with the Python of a rendered service and its folder as the first argument; prints one JSON object, in microseconds.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time, sleep
from typing import Any

REQUESTS = 5_000
ROUNDS = 9


def once(record: Callable[[], None], *, wait: float) -> float:
    """Microseconds of CPU of one record, with what the threads did meanwhile."""
    started = process_time()
    with redirect_stdout(StringIO()):
        for _ in range(REQUESTS):
            record()
    sleep(wait)
    return (process_time() - started) / REQUESTS * 1e6


async def measure(service: Path, folder: str) -> dict[str, float]:
    """Return the microseconds of CPU that the files add to a request."""
    os.chdir(service)
    sys.path.insert(0, str(service))
    from app.core.context import RequestContext
    from app.core.observability.access_log import AccessLog
    from app.core.observability.logging import LogSettings, configure
    from app.core.settings import load
    from app.extensions import log_files
    from app.main import SETTINGS

    request = RequestContext(method="GET", path="/api/v1/things/7", client="203.0.113.7")
    request.identify(None, None)
    request.status = 200
    configure(LogSettings(), service="service", version="1.0.0", production=True)
    access = AccessLog(LogSettings())

    def record() -> None:
        access(request, "/api/v1/things/{number}", 0.002)

    overrides: dict[str, dict[str, Any]] = {
        "database": {"url": "sqlite+aiosqlite:///./var/service.db"},
        "log_files": {"directory": folder, "flush_interval": 0.2},
    }
    component = log_files.component(load(SETTINGS, env_file=None, overrides=overrides))
    differences = []
    for _ in range(ROUNDS + 1):
        without = once(record, wait=0.5)
        async with component.lifespan({}):
            differences.append(once(record, wait=0.5) - without)
    return {"a request": round(median(differences[1:]), 2)}


def main() -> None:
    """Measure."""
    with TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(Path(sys.argv[1]).resolve(), folder))))


if __name__ == "__main__":
    main()
