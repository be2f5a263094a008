"""One log file: several processes append whole batches, and the one that fills it rotates it."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_UN, flock
from pathlib import Path

MODE = 0o640


class LogFile:
    """One file. `append` is for every thread, all other methods are for one.

    The file itself is the lock. Its holder checks that the name still leads to it, so that no line goes to a file that
    another process has rotated.
    """

    def __init__(self, path: Path, *, size: int, backlog: int) -> None:
        self.path = path
        self.size = size
        self.backlog = backlog
        self.lost = 0
        """The number of lines beyond the backlog."""
        self._waiting: deque[bytes] = deque()
        self._unwritten: list[bytes] = []
        self._descriptor = -1

    def append(self, line: bytes) -> None:
        """Add a line to the next batch."""
        if len(self._waiting) + len(self._unwritten) < self.backlog:
            self._waiting.append(line + b"\n")  # a copy: to keep the encoder's buffer costs 2 µs a line
        else:
            self.lost += 1

    def flush(self) -> bool:
        """Write the batch in one piece, and return true if a file was rotated. After an `OSError` the batch waits."""
        for _ in range(len(self._waiting)):
            self._unwritten.append(self._waiting.popleft())
        if not self._unwritten:
            return False
        with self._locked():
            of_old = self._of_an_earlier_day()
            if of_old:
                self._rotate()
        with self._locked():
            written = self._write(b"".join(self._unwritten))
            self._unwritten.clear()
            full = written >= self.size
            if full:
                self._rotate()
        return of_old or full

    def open(self) -> None:
        """Open the file, and create it if it is missing."""
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, MODE)

    def close(self) -> None:
        """Close the file. The next batch opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @contextmanager
    def _locked(self) -> Iterator[None]:
        while True:
            self.open()
            flock(self._descriptor, LOCK_EX)
            if self._is_current():
                break
            self.close()  # another process has rotated it
        try:
            yield
        finally:
            if self._descriptor >= 0:
                flock(self._descriptor, LOCK_UN)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _write(self, batch: bytes) -> int:
        """Write, and return the new size of the file."""
        before = os.fstat(self._descriptor).st_size
        if before and os.pread(self._descriptor, 1, before - 1) != b"\n":
            batch = b"\n" + batch  # a process was killed in its last line
        rest = memoryview(batch)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            if len(rest) < len(batch):
                os.ftruncate(self._descriptor, before)  # half a line would break the next one
            raise
        return before + len(batch)

    def _of_an_earlier_day(self) -> bool:
        """Return true if the last line is of an earlier day: lines are not kept longer because there are few."""
        status = os.fstat(self._descriptor)
        return status.st_size > 0 and datetime.fromtimestamp(status.st_mtime, UTC).date() < datetime.now(UTC).date()

    def _rotate(self) -> None:
        while True:
            aside = self.path.with_name(f"{self.path.stem}-{datetime.now(UTC):%Y%m%dT%H%M%S-%f}.log")
            if not aside.exists() and not aside.with_name(f"{aside.name}.gz").exists():
                break
        self.path.rename(aside)
        self.close()
