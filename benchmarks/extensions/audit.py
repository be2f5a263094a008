"""Cost of the audit trail, in process: CPU to record one event, and to write it in a batch.

Run with the Python of a rendered service and its folder as the first argument; prints one JSON object, in microseconds.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

EVENTS = 1000
ROUNDS = 9


def cost(work: Callable[[], object], times: int) -> float:
    """Microseconds of CPU for one event: the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS + 1):
        started = process_time()
        for _ in range(times):
            work()
        rounds.append((process_time() - started) / EVENTS * 1e6)
    return round(median(rounds[1:]), 2)


def measure(directory: Path) -> dict[str, float]:
    """The cost of each step."""
    from app.core.context import RequestContext, enter
    from app.core.telemetry import BusinessEvent, SecurityEvent, emit, listening
    from app.extensions.audit.chain import Chain, Record, record_of

    request = RequestContext(method="POST", path="/", client="192.0.2.7")
    request.identify(None, None)
    request.principal = "user:ada"
    enter(request)
    business = BusinessEvent("order_shipped", "17", before={"status": "placed"}, after={"status": "shipped"})
    taken: list[Record] = []
    found = {"an event that is not recorded": cost(lambda: emit(business), EVENTS)}
    for name, event in (("a business event", business), ("a security event", SecurityEvent("refused", "bob", "key"))):
        with listening(type(event), lambda event: taken.append(record_of(event))):
            found[name] = cost(lambda event=event: emit(event), EVENTS)  # type: ignore[misc]
    chain = Chain(directory / "audit.jsonl", b"a-key-of-sixteen-letters")
    batch = [record_of(business)] * EVENTS
    found["its place in a batch, in the writer's thread"] = cost(lambda: chain.append(batch), 1)
    return found


def main() -> None:
    """Measure, and print."""
    service = Path(sys.argv[1]).resolve()
    os.chdir(service)
    sys.path[0] = str(service)  # in place of this folder, whose files are named like libraries
    with TemporaryDirectory() as directory:
        print(json.dumps(measure(Path(directory))))


if __name__ == "__main__":
    main()
