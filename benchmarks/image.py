"""The image of a service with everything: its size, and how long a container takes until it is ready (row P8).

`python -m benchmarks.image` measures it alone. Built and started as the tests do it, so by root.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.start import seconds_to_ready
from tests.delivery.service_image import MOST_MEGABYTES, built, context, own_megabytes, starting
from tests.live import postgres
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered, Service

ROUNDS = 5


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
    """Whether the target is reached."""
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
