"""Files that were set aside: compressed, and removed when their days are over."""

import gzip
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

logger = logging.getLogger(__name__)

HOUR = 3600.0
DAY = 86_400.0
_ASIDE = re.compile(r"(?P<stream>[a-z]+)-\d{8}T\d{6}-\d{6}\.log(?P<packed>\.gz)?")


class Tidying:
    """Does it in a thread of its own, since to compress 50 MB takes 0.2 seconds. What a crash leaves is redone."""

    def __init__(self, directory: Path, days: Mapping[str, int]) -> None:
        self.directory = directory
        self.days = days
        self._due = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log files: tidying", daemon=True)

    def start(self) -> None:
        """Tidy at once, then every hour."""
        self._due.set()
        self._thread.start()

    def wake(self) -> None:
        """Tidy soon: something was set aside."""
        self._due.set()

    def close(self, timeout: float) -> None:
        """Stop. What is left is done by another process, or at the next start."""
        self._closed = True
        self._due.set()
        self._thread.join(timeout)

    def tidy(self) -> None:
        """Go through the folder once, as the only process that does.

        Raises:
            OSError: a file cannot be compressed or removed.
        """
        with _alone_in(self.directory):
            for path in sorted(self.directory.iterdir()):
                found = _ASIDE.fullmatch(path.name)
                if found is None or found["stream"] not in self.days or self._closed:
                    continue
                if time.time() - path.stat().st_mtime > self.days[found["stream"]] * DAY:
                    path.unlink()
                elif not found["packed"]:
                    compress(path)

    def _run(self) -> None:
        while not self._closed:
            self._due.wait(HOUR)
            self._due.clear()
            try:
                self.tidy()
            except OSError as error:
                logger.warning("a log file that was set aside could not be compressed or removed: %s", error)


def compress(path: Path) -> None:
    """Put a compressed file in the place of this one, with its times and its mode.

    Raises:
        OSError: it could not be written; the file is left as it is.
    """
    part, packed = (path.with_name(f"{path.name}{ending}") for ending in (".gz.part", ".gz"))
    try:
        with path.open("rb") as plain, gzip.open(part, "wb", compresslevel=1) as stream:
            shutil.copyfileobj(plain, stream)
        shutil.copystat(path, part)
        part.replace(packed)
    finally:
        part.unlink(missing_ok=True)
    path.unlink()


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)
