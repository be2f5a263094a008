"""One log file: several processes append to it in whole batches, and whoever fills it sets it aside."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_UN, flock
from pathlib import Path

MODE = 0o640


class LogFile:
    """`append` is for every thread, all else for one.

    The file itself is the lock: who has it checks that the name still leads to it, so nothing is ever written to a file
    that another process has set aside.
    """

    def __init__(self, path: Path, *, size: int, backlog: int) -> None:
        self.path = path
        self.size = size
        self.backlog = backlog
        self.lost = 0
        """Lines that had no place in the backlog."""
        self._waiting: deque[bytes] = deque()
        self._unwritten: list[bytes] = []
        self._descriptor = -1

    def append(self, line: bytes) -> None:
        """Have a line written with the next batch."""
        if len(self._waiting) + len(self._unwritten) < self.backlog:
            self._waiting.append(line + b"\n")  # small and new: the encoder's own buffer, kept, costs 2 µs a line
        else:
            self.lost += 1

    def flush(self) -> bool:
        """Write what is waiting, in one piece. Returns whether a file has been set aside.

        Raises:
            OSError: it could not be written; nothing of it is in the file, and it waits on.
        """
        for _ in range(len(self._waiting)):
            self._unwritten.append(self._waiting.popleft())
        if not self._unwritten:
            return False
        with self._locked():
            of_old = self._of_an_earlier_day()
            if of_old:
                self._set_aside()
        with self._locked():
            written = self._write(b"".join(self._unwritten))
            self._unwritten.clear()
            full = written >= self.size
            if full:
                self._set_aside()
        return of_old or full

    def open(self) -> None:
        """Open the file, and make it where it is missing.

        Raises:
            OSError: it cannot be opened.
        """
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
            self.close()  # another process has set it aside
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
        """Returns the size of the file after it."""
        before = os.fstat(self._descriptor).st_size
        if before and os.pread(self._descriptor, 1, before - 1) != b"\n":
            batch = b"\n" + batch  # a process was killed within its last line: that costs no other one
        rest = memoryview(batch)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            if len(rest) < len(batch):
                os.ftruncate(self._descriptor, before)  # half a line would spoil the next one
            raise
        return before + len(batch)

    def _of_an_earlier_day(self) -> bool:
        """So that what is kept for some days is not kept longer because little is logged."""
        status = os.fstat(self._descriptor)
        return status.st_size > 0 and datetime.fromtimestamp(status.st_mtime, UTC).date() < datetime.now(UTC).date()

    def _set_aside(self) -> None:
        while True:
            aside = self.path.with_name(f"{self.path.stem}-{datetime.now(UTC):%Y%m%dT%H%M%S-%f}.log")
            if not aside.exists() and not aside.with_name(f"{aside.name}.gz").exists():
                break
        self.path.rename(aside)
        self.close()
