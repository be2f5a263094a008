"""The start of `production`, and the memory of its one worker, beside naive FastAPI and SQLAlchemy (row P8).

CPU and not time: other work on the machine is no part of it. Sentry sends errors; nothing else is configured.
"""

import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import httpx2
import psutil

from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered, free_port
from tests.render import render

ROUNDS = 9
MOST_TIMES = 1.5
"""FEATURES, row P8."""
MOST_MEMORY = 95
"""MB. FEATURES, row P8."""


def until_ready(process: subprocess.Popen[bytes], port: int) -> dict[str, float]:
    """Wait until a service is ready, and return its seconds of CPU and its memory (PSS) in MB."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(httpx2.TransportError):
            if httpx2.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200:
                found = psutil.Process(process.pid)
                return {"cpu": sum(found.cpu_times()[:2]), "memory": found.memory_full_info().pss / 1_000_000}
        time.sleep(0.005)
    raise RuntimeError("the service was not ready within two minutes")


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Return the medians of interleaved rounds, by service."""
    root = render(folder / "production", {"preset": "production", "database": "sqlite"})
    python = interpreter(DEFAULT, development=False)
    service = Rendered(root, python, database=f"sqlite+aiosqlite:///{folder}/production.db")
    service.migrate()
    naive = ["uvicorn", "naive:app", f"--app-dir={Path(__file__).parent}"]
    taken: dict[str, list[dict[str, float]]] = {"naive": [], "production": []}
    for number in range(ROUNDS + 1):
        for name in taken:
            port = free_port()
            settings = {
                "SERVER__PORT": str(port),
                "PROMETHEUS__PORT": str(free_port()),
                "SENTRY__DSN": "http://key@127.0.0.1:9/1",
                "AUDIT__KEY": "0" * 32,
            }
            process = subprocess.Popen(
                [python, "-m", *([*naive, f"--port={port}"] if name == "naive" else ["app"])],
                cwd=root,
                env=service.environment(settings),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                found = until_ready(process, port)
            finally:
                process.kill()
                process.wait(timeout=10)
            if number:  # the first round writes the bytecode
                taken[name].append(found)
    return {
        name: {key: round(median(one[key] for one in rounds), 3) for key in rounds[0]} for name, rounds in taken.items()
    }


def held(found: dict[str, dict[str, float]]) -> bool:
    """Return true if both targets are reached."""
    production = found["production"]
    return production["cpu"] <= MOST_TIMES * found["naive"]["cpu"] and production["memory"] <= MOST_MEMORY


def rows(found: dict[str, dict[str, float]]) -> str:
    """Return its lines of the page."""
    naive, production = found["naive"], found["production"]
    return f"""\
| CPU from start to ready, `production` | {naive["cpu"]:.2f} s, FastAPI and SQLAlchemy | {production["cpu"]:.2f} s \
| {production["cpu"] / naive["cpu"]:.2f} times | {MOST_TIMES:g} times at most |
| Memory (PSS) of its one worker then | {naive["memory"]:.0f} MB, the same | {production["memory"]:.0f} MB \
| {production["memory"] / naive["memory"]:.2f} times | {MOST_MEMORY} MB at most |
"""


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-start-") as temporary:
        print(rows(measure(Path(temporary))))
