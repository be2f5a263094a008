"""The image of a service with everything: its size, and how long a container takes until it is ready (row P8).

`python -m benchmarks.image` measures it alone. Built and started as the tests do it, so by root.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import httpx2

from tests.delivery.service_image import MOST_MEGABYTES, built, context, own_megabytes, starting
from tests.live import postgres
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered, Service, free_port

ROUNDS = 5


def seconds_to_ready(start: Callable[[int], Callable[[], object]]) -> float:
    """Return the time from a start until the service is ready. `start` takes a port, and returns how to stop it."""
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


def measure() -> dict[str, float]:
    """Megabytes, and the medians of interleaved starts in seconds."""
    taken: dict[str, list[float]] = {"process": [], "container": []}
    with tempfile.TemporaryDirectory(prefix="bench-image-") as name, postgres.serve() as server:
        folder, url = Path(name), server.database()
        (folder / "containers").mkdir()
        root = context(folder / "service")
        service = Rendered(root, interpreter(DEFAULT, development=False), database=url)
        with built(root) as (files, config), starting(files, config, url, folder / "containers") as run:

            def process(port: int) -> Callable[[], object]:
                return Service(service, folder / "log", {"AUDIT__KEY": "0" * 32}, port=port).kill

            def container(port: int) -> Callable[[], object]:
                return run(SERVER__PORT=str(port), RATE_LIMIT__ENABLED="false").process.kill

            for number in range(ROUNDS + 1):
                for kind, start in (("process", process), ("container", container)):
                    needed = seconds_to_ready(start)
                    if number:  # the first round reads the files from the disk
                        taken[kind].append(needed)
            base, own = own_megabytes()
    return {"base": base, "own": own} | {kind: round(median(seconds), 3) for kind, seconds in taken.items()}


def held(found: dict[str, float]) -> bool:
    """Return whether the target is reached."""
    return found["own"] <= MOST_MEGABYTES


def rows(found: dict[str, float]) -> str:
    """Its lines of the page."""
    base, own = found["base"], found["own"]
    return f"""\
| Size of the image with everything | {base:.0f} MB, Debian with Python alone | {base + own:.0f} MB \
| {own:+.0f} MB | {MOST_MEGABYTES} MB more at most |
| Container of it to ready | {found["process"]:.3f} s, the same service as a process | {found["container"]:.3f} s \
| {found["container"] / found["process"]:.2f} times | |
"""


if __name__ == "__main__":
    print(rows(measure()))
