"""How long a service takes from its start until it is ready, beside naive FastAPI and SQLAlchemy (row P8)."""

import subprocess
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import httpx2

from tests.live.service import Rendered, free_port

ROUNDS = 9


def start_to_ready(command: list[str | Path], service: Rendered, settings: dict[str, str], port: int) -> float:
    """Seconds from the start of a process until it answers that it is ready."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=service.root,
        env=service.environment(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() - started < 60:
            with suppress(httpx2.TransportError):
                if httpx2.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200:
                    return time.perf_counter() - started
            time.sleep(0.005)
        raise RuntimeError(f"{command} was not ready within a minute")
    finally:
        process.kill()
        process.wait(timeout=10)


def measure(service: Rendered) -> dict[str, float]:
    """The median of interleaved rounds, in seconds."""
    taken: dict[str, list[float]] = {"naive": [], "service": []}
    for number in range(ROUNDS + 1):
        for name, seconds in taken.items():
            port = free_port()
            command: list[str | Path] = [service.python, "-m", "app"]
            if name == "naive":
                naive = ["uvicorn", "naive:app", f"--port={port}", f"--app-dir={Path(__file__).parent}"]
                command = [service.python, "-m", *naive]
            needed = start_to_ready(command, service, {"SERVER__PORT": str(port)}, port)
            if number:  # the first round writes the bytecode
                seconds.append(needed)
    return {name: round(median(seconds), 3) for name, seconds in taken.items()}
