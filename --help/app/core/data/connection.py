"""Connections to the file of SQLite: to the one that was opened, in one hop to a thread for each statement."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import aiosqlite
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


class Connection(aiosqlite.Connection):
    """The connection of aiosqlite, with one hop to its thread for each statement instead of four."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connect, iter_chunk_size=0)
        self._thread.daemon = True  # a connection that is still open does not keep the process alive

    async def opened(self) -> "Connection":
        """Connect. If that fails, wait for the end of the thread, which still reports to the event loop."""
        try:
            await self
        except BaseException:
            await asyncio.to_thread(self._thread.join)
            raise
        return self

    def cursor(self) -> "Cursor":  # type: ignore[override]
        return Cursor(self)

    async def run(self, method: str, statement: str, parameters: Any) -> tuple[sqlite3.Cursor, list[Any]]:
        """Run a statement in the thread of this connection, and fetch all its rows."""

        def run() -> tuple[sqlite3.Cursor, list[Any]]:
            cursor: sqlite3.Cursor = getattr(self._conn, method)(statement, parameters)
            return cursor, cursor.fetchall()

        result: tuple[sqlite3.Cursor, list[Any]] = await self._execute(run)  # type: ignore[no-untyped-call]
        return result


class Cursor:
    """A cursor as SQLAlchemy expects it from an asyncio driver. All rows come back with the statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: Iterator[Any] = iter(())
        self.description: Any = None
        self.rowcount, self.lastrowid, self.arraysize = -1, 0, 1

    async def __aenter__(self) -> "Cursor":
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        await self._run("execute", statement, parameters)

    async def executemany(self, statement: str, parameters: Any) -> None:
        """Run a statement once for each set of parameters."""
        await self._run("executemany", statement, parameters)

    async def _run(self, method: str, statement: str, parameters: Any) -> None:
        done, rows = await self._connection.run(method, statement, parameters)
        self._rows, self.description = iter(rows), done.description
        self.rowcount, self.lastrowid = done.rowcount, done.lastrowid or 0

    async def fetchone(self) -> Any:
        """Return the next row, or nothing at the end."""
        return next(self._rows, None)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        return list(islice(self._rows, size or self.arraysize))

    async def fetchall(self) -> list[Any]:
        return list(self._rows)

    async def close(self) -> None:
        self._rows = iter(())
