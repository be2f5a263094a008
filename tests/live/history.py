"""The requests and answers of clients, the stored data, and their contradictions, in the manner of Jepsen.

Each write has a value of its own, so that it can be found in the ledger, among the events and among the jobs, and
counted. https://jepsen.io/consistency
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

NEVER = float("inf")
UNKNOWN = frozenset({"outcome_unknown", "follow_up_failed", "no_answer"})
"""Codes of answers that promise nothing, with the lack of an answer."""
STORED = frozenset({"answer_not_kept", "follow_up_failed"})
"""Codes of answers that say it was carried out."""
LOST_WITH_PROCESS = 1.0
"""Seconds after its answer in which the event of a write may go with its process, as the docs of the trail say."""


HELD = 10.0
"""Seconds for which a process may work on a request whose client is gone: it may be stopped meanwhile."""


@dataclass
class Attempt:
    """One request of a write, and its answer."""

    instance: int
    start: float
    end: float = NEVER
    status: int = 0
    code: str = "no_answer"
    replayed: bool = False

    @property
    def acknowledged(self) -> bool:
        """Return whether the client was told that all is done."""
        return 200 <= self.status < 300

    @property
    def outcome(self) -> str:
        """One word for counts."""
        if self.acknowledged:
            return "acknowledged"
        return "uncertain" if self.code in UNKNOWN | STORED else "refused"

    def __str__(self) -> str:
        return f"{self.start:.2f}-{self.end:.2f} at {self.instance}: {self.status} {self.code}"


@dataclass
class Write:
    """One write, which is repeated with its key while no one knows what has become of it."""

    client: int
    kind: str
    reference: str
    value: str
    version: int
    """The version that it gives the entry: 1 when it is new, 0 when it is deleted."""
    key: bool
    attempts: list[Attempt] = field(default_factory=list)
    note: str = ""
    """A note of what was done to it, where that is known."""

    @property
    def acknowledged(self) -> float:
        """Return the time of its first acknowledgement, or `NEVER`."""
        return min((one.end for one in self.attempts if one.acknowledged), default=NEVER)

    @property
    def replayed(self) -> bool:
        """Return whether it was acknowledged only by an answer that had been kept."""
        return all(one.replayed for one in self.attempts if one.acknowledged)

    @property
    def refused(self) -> bool:
        """Return whether every answer says that it has not happened."""
        return all(one.outcome == "refused" for one in self.attempts)

    @property
    def denied(self) -> bool:
        """Return whether the last answer rules it out for the entry as it is: so it has not happened before either."""
        last = self.attempts[-1]
        return 400 <= last.status < 500 and last.code not in {"answer_not_kept", "request_in_progress"}

    @property
    def resolved(self) -> bool:
        """Return whether the last answer leaves nothing open."""
        last = self.attempts[-1]
        return last.acknowledged or self.denied or last.code == "answer_not_kept"

    def __str__(self) -> str:
        told = "; ".join(map(str, self.attempts))
        return f"client {self.client} {self.kind} {self.reference} -> {self.version} ({self.value}): {told} {self.note}"


class Read(NamedTuple):
    """A cached read. Version 0: the entry is not there."""

    reference: str
    start: float
    value: str
    version: int


class Kill(NamedTuple):
    """A process that was killed."""

    instance: int
    time: float


@dataclass
class History:
    """Everything that happened."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)

    def lost_with_process(self, write: Write) -> bool:
        """Return whether the event of a write may be gone, with the process that had told it or was about to."""
        return any(
            one.instance == kill.instance and one.start < kill.time < min(one.end, one.start + HELD) + LOST_WITH_PROCESS
            for one in write.attempts
            for kill in self.kills
        )


class Posting(NamedTuple):
    """A line of the ledger."""

    value: str
    reference: str
    version: int


@dataclass
class Stored:
    """The stored data when all is over."""

    ledger: list[Posting]
    entries: dict[str, tuple[str, int]]
    events: Counter[str]
    events_unknown: Counter[str]
    """Those that say that no one knows whether it happened."""
    jobs: Counter[str]
    jobs_are_rows: bool
    """True if a job is a row of the same transaction, and so never without the write."""


def violations(history: History, stored: Stored) -> list[str]:
    """All that contradicts what clients were told."""
    return [
        *_of_writes(history, stored),
        *_of_entries(stored),
        *_of_reads(history, stored),
    ]


def _of_writes(history: History, stored: Stored) -> Iterator[str]:
    rows = Counter(posting.value for posting in stored.ledger)
    for write in history.writes:
        found, events, jobs = (counted[write.value] for counted in (rows, stored.events, stored.jobs))
        told = events + stored.events_unknown[write.value]
        counts = f"{found} rows, {events} events and {told - events} of unknown outcome, {jobs} jobs"
        codes = [one.code for one in write.attempts]
        if write.acknowledged < NEVER:
            # One that was answered again from what was kept has told its event the first time.
            may_lack = write.replayed or history.lost_with_process(write)
            if (found, jobs) != (1, 1) or not (events == 1 or (may_lack and not events)):
                yield f"acknowledged, with {counts}: {write}"
        elif write.refused or write.denied:
            if found or events or jobs or (write.refused and told):
                yield f"refused, with {counts}: {write}"
        elif found > 1 or events > found or jobs > found or (not found and STORED.intersection(codes)):
            yield f"uncertain, with {counts}: {write}"
        if found and not told and not history.lost_with_process(write):
            yield f"stored and never told, with {counts}: {write}"
        if stored.jobs_are_rows and jobs != found:
            yield f"rows and jobs differ, with {counts}: {write}"
        if codes[-1] == "answer_not_kept" and all(one.outcome == "refused" for one in write.attempts[:-1]):
            yield f"said not to be done, and then to be done: {write}"
        if write.key and not write.refused and not write.resolved:
            yield f"its repetition has not resolved it, with {counts}: {write}"
        if "internal_error" in codes:
            yield f"an error that no one has foreseen, with {counts}: {write}"
    known = {write.value for write in history.writes}
    for value in (rows.keys() | stored.events.keys() | stored.jobs.keys()) - known:
        yield f"no one wrote {value}"


def _of_entries(stored: Stored) -> Iterator[str]:
    """Changes of one entry follow each other, and the last one is what is there."""
    lines: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for posting in stored.ledger:
        if posting.version in lines[posting.reference]:
            yield f"a lost update: {posting} beside {lines[posting.reference][posting.version]}"
        lines[posting.reference][posting.version] = posting.value
    for reference in lines.keys() | stored.entries.keys():
        by_version = lines[reference]
        last = max(by_version, default=0)
        expected = None if 0 in by_version else (by_version.get(last), last)
        if stored.entries.get(reference) != expected or {*by_version} - {0} != {*range(1, last + 1)}:
            yield f"{reference} is {stored.entries.get(reference)}, and its ledger has {sorted(by_version.items())}"


def _of_reads(history: History, stored: Stored) -> Iterator[str]:
    """A read shows nothing older than what was acknowledged before it began, and nothing that was never stored."""
    written: defaultdict[str, list[Write]] = defaultdict(list)
    for write in history.writes:
        written[write.reference].append(write)
    ledger = {(posting.reference, posting.version): posting.value for posting in stored.ledger}
    for read in history.reads:
        writes = written[read.reference]
        before = [write for write in writes if write.acknowledged < read.start]
        if read.version == 0:
            deleted = any(write.kind == "delete" and not write.refused for write in writes)
            older = [] if deleted else before
        else:
            older = [write for write in before if write.kind == "delete" or write.version > read.version]
            if ledger.get((read.reference, read.version)) != read.value:
                yield f"a read of what was never stored: {read}"
        if older:
            yield f"a stale read: {read} after {older[-1]}"
