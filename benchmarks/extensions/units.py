"""Cost of a quantity for a request, over a field that is a float, and the time to load the table of units.

`python -m benchmarks.extensions.units SERVICE`, with the Python of that rendered service; prints microseconds, and
seconds for the table.
"""

import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Annotated

from benchmarks.extensions import in_process

FIELDS = 2000
ROUNDS = 15


def measure() -> dict[str, float]:
    """A number, a text with a unit, and an answer in another unit."""
    from pydantic import TypeAdapter

    from app.extensions.units import Quantity, Unit, conversion

    number = TypeAdapter(float)
    mass = TypeAdapter(Annotated[Quantity, Unit("kg", answer="t")])
    started = perf_counter()
    conversion.check("kg")
    table = perf_counter() - started
    weight = mass.validate_python("2.5 t")
    cases = {
        "float": lambda: number.validate_python(2.5),
        "number": lambda: mass.validate_python(2.5),
        "text_with_unit": lambda: mass.validate_python("2.5 t"),
        "answer_in_another_unit": lambda: mass.dump_json(weight),
    }
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            started = process_time()
            for _ in range(FIELDS):
                case()
            taken[name].append((process_time() - started) / FIELDS * 1e6)
    found = {name: round(median(values), 1) for name, values in taken.items()}
    return {**found, "table_seconds": round(table, 2)}


if __name__ == "__main__":
    in_process.enter(Path(sys.argv[1]).resolve())
    print(json.dumps(measure()))
