"""The file: records are only ever added, by one process at a time, and each batch is on the disk when it is done."""

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from app.extensions.audit.records import START, Head, Record, chained, opened

logger = logging.getLogger(__name__)


class Chain:
    """One chain of records. Beside it stands a file with its end, which is the lock between processes as well.

    The records may be put away by renaming their file: the next batch goes on with the chain in a new one.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self.beside = path.with_name(f"{path.name}.head")
        self._key = key
        self._known: tuple[int, int, Head] | None = None
        """The file, its size and the end of the chain, as this process left them."""
        self._unnoted: tuple[Head, Head] | None = None
        """What stands beside the records in place of their end, which could not be noted, and that end."""

    def append(self, records: Sequence[Record]) -> Head:
        """Add records, all or none.

        Raises:
            OSError: they could not be written.
        """
        with self.locked(fcntl.LOCK_EX) as head_file:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                noted = read_head(head_file)
                stands, missed = self._unnoted or (noted, noted)
                size, head = self._end(descriptor, missed if noted == stands else noted)
                data, head = chained(records, head, self._key)
                try:
                    _write(descriptor, data)
                    os.fsync(descriptor)
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(descriptor, size)  # half a batch would be written twice
                    raise
                self._known = (os.fstat(descriptor).st_ino, size + len(data), head)
            finally:
                os.close(descriptor)
            self._note(head_file, noted, head)
        return head

    @contextmanager
    def locked(self, how: int) -> Iterator[int]:
        """Hold the lock; gives the file with the end of the chain."""
        descriptor = os.open(self.beside, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(descriptor, how)
            yield descriptor
        finally:
            os.close(descriptor)

    def _note(self, head_file: int, noted: Head, head: Head) -> None:
        """Write the end of the chain over the one before. It may fail: the records are on the disk, and tell it too."""
        try:
            os.pwrite(head_file, _as_text(head), 0)
        except OSError as error:
            if self._unnoted is None:  # once for each outage
                logger.error("the end of %s cannot be noted beside it (%s)", self.path, error)  # noqa: TRY400  # expected
            self._unnoted = (noted, head)
        else:
            self._unnoted = None

    def _end(self, descriptor: int, noted: Head) -> tuple[int, Head]:
        """The size of the file and the end of the chain."""
        found = os.fstat(descriptor)
        if self._known and self._known[:2] == (found.st_ino, found.st_size):
            return found.st_size, self._known[2]
        size, line = _last_line(descriptor, found.st_size)
        if size < found.st_size:  # a process was killed, or the disk full, in the middle of it
            logger.warning("cut an unfinished record off %s", self.path)
            os.ftruncate(descriptor, size)
        if not line:
            return size, noted
        try:
            head, _ = opened(line, self._key)
        except (ValueError, LookupError):
            logger.error("the last record of %s is not what was sealed: verify it", self.path)  # noqa: TRY400  # expected
            return size, noted
        if noted.number < head.number:  # a process was killed between the two
            return size, head
        if noted != head:
            logger.error("%s does not end with record %s, which was its last: verify it", self.path, noted.number)
        return size, noted


def read_head(descriptor: int) -> Head:
    """The end of the chain as it is noted beside the records."""
    number, _, seal = os.pread(descriptor, 200, 0).decode(errors="replace").partition(":")
    whole = number.isdecimal() and len(seal.strip()) == len(START.seal)  # a full disk may take a part of it
    return Head(int(number), seal.strip()) if whole else START


def _as_text(head: Head) -> bytes:
    return f"{head.number:020}:{head.seal}\n".encode()  # always of one length: it is written over the one before


def _last_line(descriptor: int, size: int) -> tuple[int, bytes]:
    """Where the last whole line ends, and the line."""
    tail, start = b"", size
    while start and tail.count(b"\n", 0, len(tail)) < 2:
        start = max(0, start - 65_536)
        tail = os.pread(descriptor, size - start, start)
    end = tail.rfind(b"\n") + 1
    return start + end, tail[tail.rfind(b"\n", 0, max(0, end - 1)) + 1 : end]


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
