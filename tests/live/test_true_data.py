"""Whatever fails, and at whatever moment: an acknowledged write is there once, a refused one is not, and others say so.

`CHECK_SECONDS=3600` has the checker run for an hour on each database.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.extensions.sliced import SLICES, sliced
from tests.live import postgres
from tests.live.clients import Clients
from tests.live.cluster import Cluster, cluster
from tests.live.conftest import Make
from tests.live.faulty_proxy import KINDS, Message
from tests.live.history import NEVER, History, Stored, violations
from tests.live.process_faults import Faults
from tests.live.service import Rendered

EXTENSIONS = ["redis", "worker", "idempotency", "audit"]
SECONDS = float(os.environ.get("CHECK_SECONDS", "20"))
QUICK = {
    "DATABASE__COMMAND_TIMEOUT": "0.3",
    "DATABASE__STATEMENT_TIMEOUT": "0.25",
    "DATABASE__CLOSE_TIMEOUT": "0.05",
    "DATABASE__POOL_SIZE": "1",
    "DATABASE__POOL_OVERFLOW": "0",
}
"""Short waits, and one connection: whoever walks through its messages meets each of them."""
REST = {"delay", "reset"}
"""Faults that the others come near to: those of an hour."""
Tell = Callable[[str, History, Stored, Counter[str], list[str]], None]
SLOW = {"freeze", "long delay"}
"""Faults that cost the wait for an answer each time."""
MUTANTS = [
    pytest.param("answers_before_the_commit", "cut before", "acknowledged, with", id="answer"),
    pytest.param("tells_before_the_commit", "cut before", "refused, with 0 rows, 1 events", id="event"),
    pytest.param(
        "swallows_the_error_of_the_commit",
        "cut before",
        "acknowledged, with 0 rows",
        id="error",
        marks=pytest.mark.full,
    ),
    pytest.param(
        "says_unavailable_for_unknown", "cut after", "refused, with 1 rows", id="unknown", marks=pytest.mark.full
    ),
    pytest.param("retries_a_write", "cut after", "409 already_exists", id="retry", marks=pytest.mark.full),
]
"""Faults that a service may have, each with one at a message that shows it, and what the checker says of it."""


@pytest.fixture(scope="module")
def service(rendered: Make) -> Callable[[str], Rendered]:
    """A service whose owner has added the slice `entries`, on a database of its own each time."""
    made: dict[str, Rendered] = {}

    def make(database: str) -> Rendered:
        answers = {"database": database, "extensions": EXTENSIONS}
        if database not in made:
            made[database] = sliced(rendered, "entries", **answers)
            liars = made[database].root / "app" / "features" / "liars.py"
            liars.write_text((SLICES / "liars.py").read_text())
        fresh = rendered(sample=False, **answers)
        return Rendered(made[database].root, made[database].python, database=fresh.database)

    return make


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """A server that these tests may hurt."""
    with postgres.serve() as found:
        yield found


class At:
    """One fault, at the message of this number."""

    def __init__(self, number: int, kind: str) -> None:
        self.left = number
        self.kind = kind
        self.where: Message | None = None

    def __call__(self, message: Message) -> str | None:
        """The fault, once."""
        self.left -= 1
        if self.left != -1:
            return None
        self.where = message
        return self.kind


async def walk(made: Cluster, kind: str) -> tuple[History, list[str]]:
    """Let one client write, with a fault at the first message, then again with one at the second, and so on.

    With a key on a connection that is in use: three transactions. Then without one on a new connection, which greets
    and prepares its statements first.
    """
    assert made.proxy is not None
    clients = Clients([instance.url for instance in made.instances])
    places = []
    for key in (True,) if kind in SLOW else (True, False):
        for number in range(200):
            if key:
                await clients.create(key=key)
            else:
                made.proxy.hang_up()
                await asyncio.sleep(0.05)  # until the service has seen it: else its next statement does
            made.proxy.decide = fault = At(number, kind)
            write = await clients.create(key=key)
            made.proxy.heal()
            if fault.where is None:
                break
            write.note = f"{kind} {fault.where}"
            places.append(str(fault.where))
    await clients.read_all()
    return clients.history, places


def walked(
    rendered: Rendered, server: postgres.Server, directory: Path, tell: Tell, kind: str, **settings: str
) -> tuple[History, list[str], list[str]]:
    """Return the history of such a walk, the places of its faults, and the violations found afterwards."""
    given = {**QUICK, **settings}
    with cluster(rendered, directory, given, workers=[1], server=server, delays=(0.05, 0.45), frozen=0.6) as made:
        history, places = asyncio.run(walk(made, kind))
        made.stop()
        stored = made.stored()
    wrong = violations(history, stored)
    tell(f"{kind} at each of {len(places)} messages", history, stored, Counter(), wrong)
    return history, places, wrong


@pytest.fixture
def tell(capfd: pytest.CaptureFixture[str]) -> Tell:
    """Says what happened, past pytest's capture: a run of an hour is worth its numbers."""

    def told(title: str, history: History, stored: Stored, injected: Counter[str], wrong: list[str]) -> None:
        with capfd.disabled():
            sys.stderr.write("\n".join(summary(title, history, stored, injected, wrong)) + "\n")

    return told


def summary(title: str, history: History, stored: Stored, injected: Counter[str], wrong: list[str]) -> list[str]:
    """The numbers of a run, and the first of what is wrong."""
    outcomes = Counter(attempt.outcome for write in history.writes for attempt in write.attempts)
    codes = Counter(f"{one.status} {one.code}" for write in history.writes for one in write.attempts if one.code)
    by_instance = Counter(one.instance for write in history.writes for one in write.attempts if one.acknowledged)
    lost = sum(
        history.lost_with_process(write) and not stored.events[write.value]
        for write in history.writes
        if write.acknowledged < NEVER
    )
    return [
        f"\n{title}: {len(history.writes)} writes, {sum(outcomes.values())} attempts "
        f"({', '.join(f'{number} {outcome}' for outcome, number in outcomes.most_common())}), "
        f"{len(history.reads)} reads, {len(stored.ledger)} rows, {lost} events lost with a killed process",
        f"  acknowledged by each instance: {dict(sorted(by_instance.items()))}; codes: {dict(codes.most_common())}",
        f"  faults: {dict(injected.most_common())}",
        f"  violations: {len(wrong)}",
        *(f"    {one}" for one in wrong[:10]),
    ]


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.full if kind in REST else ()) for kind in KINDS])
def test_no_message_of_a_write_is_lost_unnoticed(
    kind: str, service: Callable[[str], Rendered], server: postgres.Server, tmp_path: Path, tell: Tell
) -> None:
    history, places, wrong = walked(service("postgres"), server, tmp_path, tell, kind)
    assert wrong == []
    assert Counter(places)["answer of COMMIT;"] == (3 if kind in SLOW else 4), places
    doubts = [write for write in history.writes if write.attempts[0].outcome == "uncertain"]
    # A connection that is cut after an answer is found dead by the next message, which may be the COMMIT.
    certain = [str(write) for write in doubts if "COMMIT" not in write.note and "after answer" not in write.note]
    assert certain == [], "only a COMMIT leaves a doubt"
    assert doubts or kind == "delay"


@pytest.mark.parametrize(("mutant", "kind", "said"), MUTANTS)
def test_the_checker_finds_a_service_that_lies(
    mutant: str,
    kind: str,
    said: str,
    service: Callable[[str], Rendered],
    server: postgres.Server,
    tmp_path: Path,
    tell: Tell,
) -> None:
    _, _, wrong = walked(service("postgres"), server, tmp_path, tell, kind, MUTANT=mutant)
    assert any(said in one for one in wrong)


@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize(
    ("database", "workers"),
    [
        ("sqlite", [1, 1, 1]),
        ("postgres", [2, 1]),
        pytest.param("sqlite", [1], marks=pytest.mark.full),
        pytest.param("sqlite", [2], marks=pytest.mark.full),
        pytest.param("postgres", [1], marks=pytest.mark.full),
        pytest.param("postgres", [1, 1], marks=pytest.mark.full),
    ],
)
def test_what_clients_were_told_is_true(
    database: str,
    workers: list[int],
    service: Callable[[str], Rendered],
    server: postgres.Server,
    tmp_path: Path,
    tell: Tell,
) -> None:
    used = server if database == "postgres" else None
    seed = time.time_ns() % 1_000_000

    async def check(made: Cluster) -> tuple[History, Counter[str]]:
        clients = Clients([instance.url for instance in made.instances], seed=seed, leaving=0.03)
        faults = Faults(made, clients.history, seed=seed)
        await asyncio.gather(clients.run(16, SECONDS), faults.run(time.monotonic() + SECONDS))
        await clients.read_all()
        return clients.history, faults.injected

    given = {"HTTP__REQUEST_TIMEOUT": "3"}  # so that it ends in the middle of a commit too
    if database == "sqlite":
        given["DATABASE__BUSY_TIMEOUT"] = "1"
    with cluster(service(database), tmp_path, given, workers=workers, server=used) as made:
        history, injected = asyncio.run(check(made))
        made.stop()
        stored = made.stored()
    wrong = violations(history, stored)
    tell(f"{database}, {sum(workers)} processes, {SECONDS:g} s, seed {seed}", history, stored, injected, wrong)
    assert sum(write.acknowledged < NEVER for write in history.writes) > 30
    assert wrong == []
