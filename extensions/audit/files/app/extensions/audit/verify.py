"""Verification: reads a chain from its first record to its last, and says where it is not what was written."""

import fcntl
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.extensions.audit.chain import Chain, read_head
from app.extensions.audit.records import START, Head, opened


class Tampered(Exception):
    """The chain is not what was written."""


def verify(files: Sequence[Path], key: bytes, *, after: Head = START, known: Sequence[Head] = ()) -> Head:
    """Read some files, the oldest first, and return the end of their chain.

    Args:
        files: the records.
        key: what they are sealed with.
        after: the end of the chain of the files before these.
        known: ends that were noted earlier, elsewhere: each has to be in here.

    Raises:
        Tampered: a record was changed, removed, added or moved.
        OSError: a file cannot be read.
    """
    head, missing = after, {*known, *_noted(files[-1])} - {START, after}
    for file in files:
        for place, line in _lines(file):
            try:
                found, previous = opened(line, key)
            except (ValueError, LookupError) as error:
                raise Tampered(f"{place}: this is no record that was written ({error})") from error
            if (found.number, previous) != (head.number + 1, head.seal):
                hint = ": give the files before this one, or --after" if head == START else ""
                raise Tampered(f"{place}: record {found.number} does not follow record {head.number}{hint}")
            head = found
            missing.discard(head)
    if missing:
        raise Tampered(f"the chain ends with record {head.number} and does not have {', '.join(map(str, missing))}")
    return head


def _noted(file: Path) -> list[Head]:
    """The end that stands beside the file, where one does."""
    try:
        with Chain(file, b"").beside.open("rb") as beside:
            fcntl.flock(beside, fcntl.LOCK_SH)
            return [read_head(beside.fileno())]
    except FileNotFoundError:
        return []


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    """Each line with its place. An unfinished last one is being written, or was cut short by a crash."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield f"{file}:{number}", line
