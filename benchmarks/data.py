"""Reads and writes of the sample slice, beside an older release in the same run: what true data costs."""

import json
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from tests.live import postgres
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered
from tests.releases import NEXT, git, with_history
from tests.render import render

BEFORE = "0.3.1"
"""The release that had the faults of data."""
ROUNDS = 7
MOST_TIMES = 1.05
Measured = dict[str, tuple[float, float, float]]
"""For each operation: microseconds of CPU before and now, and how many times as long it takes by the clock."""


def measure() -> Measured:
    """Interleaved rounds on both databases, and the median of each."""
    taken: dict[str, dict[str, list[list[float]]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, postgres.serve() as server:
        services = _services(Path(folder), server)
        for number in range(ROUNDS + 1):
            for (database, version), service in services.items():
                for operation, found in _run(service).items():
                    if number:  # the first round warms up
                        taken.setdefault(f"{operation}, {database}", {}).setdefault(version, []).append(found)
    return {name: _compared(found["before"], found["now"]) for name, found in taken.items()}


def rows(measured: Measured) -> str:
    """The lines of the page."""
    return "".join(
        f"| CPU of a request of the sample: {name} | {before:.0f} µs, release {BEFORE} | {now:.0f} µs "
        f"| {now / before:.2f} times, {clock:.2f} by the clock | {MOST_TIMES:g} times at most |\n"
        for name, (before, now, clock) in measured.items()
    )


def held(measured: Measured) -> bool:
    """Return whether no operation takes longer than it may."""
    return all(now / before <= MOST_TIMES for before, now, _ in measured.values())


def _services(folder: Path, server: postgres.Server) -> dict[tuple[str, str], Rendered]:
    template, made = with_history(folder / "template"), {}
    for version, reference in {"now": NEXT, "before": f"v{BEFORE}"}.items():
        git(template, "checkout", "--quiet", reference)
        for database in ("sqlite", "postgres"):
            root = render(folder / f"{database}-{version}", {"database": database, "extensions": []}, template=template)
            url = server.database() if database == "postgres" else f"sqlite+aiosqlite:///{root}/service.db"
            made[database, version] = Rendered(root, interpreter(DEFAULT, development=False), database=url)
            made[database, version].migrate()
    return made


def _run(service: Rendered) -> dict[str, list[float]]:
    command = [service.python, Path(__file__).parent / "data_cost.py"]
    done = subprocess.run(
        command, cwd=service.root, capture_output=True, text=True, check=False, env=service.environment(), timeout=300
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _compared(before: list[list[float]], now: list[list[float]]) -> tuple[float, float, float]:
    cpu = [median(round_[0] for round_ in rounds) for rounds in (before, now)]
    clock = [median(round_[1] for round_ in rounds) for rounds in (before, now)]
    return cpu[0], cpu[1], clock[1] / clock[0]


if __name__ == "__main__":
    print(rows(measure()))
