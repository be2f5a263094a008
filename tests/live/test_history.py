"""The checker itself, on histories that are made up: one that is true passes, and every false answer is found."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.live.history import Attempt, History, Kill, Posting, Read, Stored, Write, violations

Change = Callable[[History, Stored], object]


def written(kind: str, number: int, version: int, *answers: tuple[int, str], key: bool = True) -> Write:
    """A write at second `number` that was answered so; no answer has status 0."""
    attempts = [
        Attempt(0, number + 0.1 * index, number + 0.1 * index + 0.05 if status else float("inf"), status, code)
        for index, (status, code) in enumerate(answers)
    ]
    return Write(0, kind, "entry", f"value-{number}", version, key, attempts)


def truth() -> tuple[History, Stored]:
    """An entry that is made, changed in spite of three faults, and read."""
    writes = [
        written("create", 1, 1, (201, "")),
        written("change", 2, 2, (503, "database_unreachable")),
        written("change", 3, 2, (504, "outcome_unknown"), (409, "answer_not_kept")),
        written("change", 4, 3, (0, "no_answer"), (503, "database_busy"), (200, "")),
        written("change", 5, 4, (504, "outcome_unknown"), key=False),
    ]
    reads = [Read("entry", 1.5, "value-1", 1), Read("entry", 3.9, "value-3", 2), Read("entry", 6.0, "value-4", 3)]
    stored = Stored(
        ledger=[Posting("value-1", "entry", 1), Posting("value-3", "entry", 2), Posting("value-4", "entry", 3)],
        entries={"entry": ("value-4", 3)},
        events=Counter({"value-1": 1, "value-4": 1}),
        events_unknown=Counter({"value-3": 1, "value-5": 1}),
        jobs=Counter({"value-1": 1, "value-3": 1, "value-4": 1}),
        jobs_are_rows=True,
    )
    return History(writes, reads), stored


def test_a_true_history_has_no_violation() -> None:
    assert violations(*truth()) == []


LIES: dict[str, Change] = {
    "acknowledged, with 0 rows": lambda _, stored: stored.ledger.pop(0),
    "acknowledged, with 2 rows": lambda _, stored: stored.ledger.append(Posting("value-1", "entry", 9)),
    "acknowledged, with 1 rows, 0 events": lambda _, stored: stored.events.pop("value-1"),
    "acknowledged, with 1 rows, 2 events": lambda _, stored: stored.events.update(["value-1"]),
    "acknowledged, with 1 rows, 1 events and 0 of unknown outcome, 0 jobs": lambda _, stored: stored.jobs.pop(
        "value-1"
    ),
    "acknowledged, with 1 rows, 1 events and 0 of unknown outcome, 2 jobs": lambda _, stored: stored.jobs.update(
        ["value-1"]
    ),
    "refused, with 1 rows": lambda _, stored: stored.ledger.append(Posting("value-2", "entry", 4)),
    "refused, with 0 rows, 1 events": lambda _, stored: stored.events.update(["value-2"]),
    "refused, with 0 rows, 0 events and 0 of unknown outcome, 1 jobs": lambda _, stored: stored.jobs.update(
        ["value-2"]
    ),
    "uncertain, with 0 rows": lambda _, stored: stored.ledger.pop(1),
    "uncertain, with 0 rows, 1 events": lambda _, stored: stored.events.update(["value-5"]),
    "uncertain, with 2 rows": lambda _, stored: stored.ledger.append(Posting("value-3", "entry", 4)),
    "stored and never told": lambda _, stored: stored.events_unknown.pop("value-3"),
    "refused, with 0 rows, 0 events and 1": lambda _, stored: stored.events_unknown.update(["value-2"]),
    "an error that no one has foreseen": lambda history, _: history.writes[1].attempts.append(
        Attempt(0, 2.5, 2.6, 500, "internal_error")
    ),
    "rows and jobs differ": lambda _, stored: stored.jobs.pop("value-3"),
    "its repetition has not resolved it": lambda history, _: history.writes[2].attempts.pop(),
    "said not to be done, and then to be done": lambda history, _: history.writes[2].attempts.__setitem__(
        0, Attempt(0, 3.0, 3.05, 503, "database_failed")
    ),
    "a lost update": lambda _, stored: stored.ledger.append(Posting("value-5", "entry", 3)),
    "entry is ('value-3', 2)": lambda _, stored: stored.entries.update(entry=("value-3", 2)),
    "entry is None": lambda _, stored: stored.entries.clear(),
    "a stale read": lambda history, _: history.reads.append(Read("entry", 7.0, "value-3", 2)),
    "a stale read: Read(reference='entry', start=8.0, value='', version=0)": lambda history, _: history.reads.append(
        Read("entry", 8.0, "", 0)
    ),
    "a read of what was never stored": lambda history, _: history.reads.append(Read("entry", 8.0, "value-2", 4)),
    "no one wrote": lambda _, stored: stored.ledger.append(Posting("value-99", "other", 1)),
}


@pytest.mark.parametrize("said", LIES)
def test_a_lie_is_found(said: str) -> None:
    history, stored = truth()
    LIES[said](history, stored)
    assert any(one.startswith(said) for one in violations(history, stored)), violations(history, stored)


def test_an_event_may_go_with_its_process_and_only_then() -> None:
    history, stored = truth()
    stored.events.pop("value-4")
    assert violations(history, stored) != []
    history.kills.append(Kill(1, 4.3))
    assert violations(history, stored) != []
    history.kills.append(Kill(0, 4.3))
    assert violations(history, stored) == []


def test_a_write_that_another_one_forestalled_has_not_happened() -> None:
    history, stored = truth()
    history.writes.append(written("change", 6, 4, (504, "outcome_unknown"), (412, "precondition_failed")))
    assert violations(history, stored) == []
    stored.events.update(["value-6"])
    assert violations(history, stored) != []


def test_a_deleted_entry_stays_deleted() -> None:
    history, stored = truth()
    history.writes.append(written("delete", 6, 0, (200, "")))
    stored.ledger.append(Posting("value-6", "entry", 0))
    stored.events.update(["value-6"])
    stored.jobs.update(["value-6"])
    assert any("entry is" in one for one in violations(history, stored))
    stored.entries.clear()
    history.reads.append(Read("entry", 7.0, "", 0))
    assert violations(history, stored) == []
    history.reads.append(Read("entry", 7.0, "value-4", 3))
    assert any(one.startswith("a stale read") for one in violations(history, stored))
