"""The file of the database: which one is meant, and whether it is still the one that was opened."""

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import make_url


class DatabaseFile:
    """The file that an engine has opened. A path may name another file later: `rm` and `mv` do not ask."""

    def __init__(self, url: str, *, make: bool) -> None:
        path = make_url(url).database
        self.path = Path(path) if path and path != ":memory:" else None
        self._log = Path(f"{self.path}-wal")
        self._make = make
        self._opened: tuple[int, int] | None = None
        self._connections = 0

    def open(self, arguments: list[Any], options: dict[str, Any]) -> None:
        """Change the arguments of `sqlite3.connect` so that no connection opens, or makes, another file.

        Raises:
            OperationalError: the file does not exist, or has been removed or replaced.
        """
        if self.path is None:
            return
        if reason := self.gone():
            raise sqlite3.OperationalError(reason)
        arguments[0] = f"{self.path.absolute().as_uri()}?mode={'rwc' if self._make else 'rw'}"
        options["uri"] = True

    def opened(self) -> None:
        """Remember which file it was, at the first connection.

        Raises:
            OperationalError: it was replaced while it was opened.
        """
        if self.path is not None:
            found = _identity(self.path)
            self._opened = self._opened or found
            if found != self._opened:
                raise sqlite3.OperationalError(self._changed)

    def connected(self, number: int) -> None:
        """Count the open connections: while there is one, the write-ahead log exists."""
        self._connections += number

    def gone(self) -> str | None:
        """The reason why the path is not the file that was opened, or nothing."""
        if self.path is None or self._make:
            return None
        found = _identity(self.path)
        if self._opened is None:
            return None if found else f"{self.path} does not exist: run `make migrate`, which makes it"
        logged = not self._connections or _identity(self._log) is not None
        return None if found == self._opened and logged else self._changed

    @property
    def _changed(self) -> str:
        return f"{self.path} or its -wal file has been removed or replaced: put it back, or restart the service"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # twice as fast, and asked twice for each write
    except OSError:
        return None
    return found.st_dev, found.st_ino
