"""How long a service takes from its start until it is ready, beside naive FastAPI and SQLAlchemy (row P8)."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import httpx2

from tests.live.service import Rendered, free_port

ROUNDS = 9


def seconds_to_ready(start: Callable[[int], Callable[[], object]]) -> float:
    """From a start, which is given a port and returns how to stop it, until it is answered that it is ready."""
    port = free_port()
    begun = time.perf_counter()
    stop = start(port)
    try:
        while time.perf_counter() - begun < 120:
            with suppress(httpx2.TransportError):
                if httpx2.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200:
                    return time.perf_counter() - begun
            time.sleep(0.005)
        raise RuntimeError("the service was not ready within two minutes")
    finally:
        stop()


def measure(service: Rendered) -> dict[str, float]:
    """The median of interleaved rounds, in seconds."""

    def started(*command: str, port: int) -> Callable[[], object]:
        process = subprocess.Popen(
            [service.python, "-m", *command],
            cwd=service.root,
            env=service.environment({"SERVER__PORT": str(port)}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def stop() -> None:
            process.kill()
            process.wait(timeout=10)

        return stop

    def naive(port: int) -> Callable[[], object]:
        return started("uvicorn", "naive:app", f"--port={port}", f"--app-dir={Path(__file__).parent}", port=port)

    def ours(port: int) -> Callable[[], object]:
        return started("app", port=port)

    taken: dict[str, list[float]] = {"naive": [], "service": []}
    for number in range(ROUNDS + 1):
        for name, start in (("naive", naive), ("service", ours)):
            needed = seconds_to_ready(start)
            if number:  # the first round writes the bytecode
                taken[name].append(needed)
    return {name: round(median(seconds), 3) for name, seconds in taken.items()}
