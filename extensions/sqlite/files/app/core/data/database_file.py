"""The file of the database: the one that was opened, and no other that takes its path later."""

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import make_url


class DatabaseFile:
    """The file that an engine has opened. `rm` and `mv` may put another one at its path."""

    def __init__(self, url: str, *, make: bool) -> None:
        path = make_url(url).database
        self.path = Path(path) if path and path != ":memory:" else None
        self._log = Path(f"{self.path}-wal")
        self._make = make
        self._opened: tuple[int, int] | None = None
        self.connections = 0
        """Open connections. While there is one, the write-ahead log exists."""

    def connect(self, **options: Any) -> Any:
        """Open a connection to this file, and never to another one.

        Raises:
            OperationalError: the file does not exist, or was removed or replaced.
        """
        if self.path is None:
            return sqlite3.connect(":memory:", **options)
        if reason := self.gone():
            raise sqlite3.OperationalError(reason)
        uri = f"{self.path.absolute().as_uri()}?mode={'rwc' if self._make else 'rw'}"
        connection = sqlite3.connect(uri, uri=True, **options)
        found = _identity(self.path)
        self._opened = self._opened or found
        if found != self._opened:  # while it was opened
            connection.close()
            raise sqlite3.OperationalError(self._changed)
        return connection

    def gone(self) -> str | None:
        """Return why the path is not the file that was opened, or nothing."""
        if self.path is None or self._make:
            return None
        found = _identity(self.path)
        if self._opened is None:
            return None if found else f"{self.path} does not exist: run `make migrate`, which makes it"
        logged = not self.connections or _identity(self._log) is not None
        return None if found == self._opened and logged else self._changed

    @property
    def _changed(self) -> str:
        return f"{self.path} or its -wal file was removed or replaced: put it back, or restart the service"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # twice as fast, and needed twice for each write
    except OSError:
        return None
    return found.st_dev, found.st_ino
