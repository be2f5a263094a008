"""Backups of SQLite: the online backup, a restored file beside the database, and the swap of the two."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sqlalchemy import make_url

from app.core.data.engine import DatabaseSettings
from ops.backups.errors import BackupError, BackupRefused, DatabaseFailed, DiskFailed, InUse, disk
from ops.backups.manifest import Manifest, Table, summed
from ops.backups.sealing import Target

KIND = "sqlite"
HEADER = b"SQLite format 3\0"
LOCKED = (510, 0x40000002)
"""The bytes that everybody locks who has the file open: https://www.sqlite.org/lockingv3.html and wal.html."""


@dataclass
class Snapshot:
    """The database as it was at one moment."""

    time: datetime
    server: str
    revision: list[str]
    tables: dict[str, Table]
    stream: IO[bytes]


def path_of(settings: DatabaseSettings) -> Path:
    """The file.

    Raises:
        DatabaseFailed: the database is in memory.
    """
    path = make_url(settings.url).database
    if not path or path == ":memory:":
        raise DatabaseFailed("DATABASE__URL: a database in memory cannot be backed up: name a file")
    return Path(path).absolute()


def check_tools(settings: DatabaseSettings, server: str | None = None) -> None:
    """Nothing beyond Python is needed, unless a newer SQLite wrote what an older one is to read: that is no matter."""
    del settings, server


@contextmanager
def snapshot(settings: DatabaseSettings, work: Path) -> Iterator[Snapshot]:
    """A copy by the online backup: in one step, so that writers neither wait nor make it start again.

    Raises:
        DatabaseFailed: the file is missing, or is no database.
    """
    path, copy = path_of(settings), work / "copy.db"
    with _told(path):
        with closing(_connect(path, "ro")) as source, closing(_connect(copy, "rwc")) as target:
            time = datetime.now(UTC)
            source.backup(target)
        revision, tables = _examined(copy)
    with disk(work), copy.open("rb") as stream:
        yield Snapshot(time, sqlite3.sqlite_version, revision, tables, stream)


def inspect(settings: DatabaseSettings, manifest: Manifest, work: Path) -> "Copy":
    """A place in which a backup shows that it is whole: a file that is thrown away."""
    del settings, manifest
    return Copy(work / "inspected.db", work / "inspected.db")


def beside(settings: DatabaseSettings, manifest: Manifest) -> "Copy":
    """A file beside the database, which can take its place."""
    del manifest
    path = path_of(settings)
    return Copy(path, path.with_name(f"{path.name}.restoring"))


def refuse_running(settings: DatabaseSettings) -> None:
    """Check that no process has the file open.

    Raises:
        InUse: a process has.
    """
    path = path_of(settings)
    with disk(path), suppress(FileNotFoundError), path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *LOCKED)
        except BlockingIOError:
            raise InUse(f"{path} is open in another process: stop the service, and whatever replicates it") from None


class Copy:
    """A restored database that is not in use yet."""

    def __init__(self, path: Path, file: Path) -> None:
        self.path = path
        self.file = file
        self.tables: dict[str, Table] = {}

    @contextmanager
    def target(self) -> Iterator[Target]:
        """Give the dump to this.

        Raises:
            BackupRefused: what came is no sound database.
        """
        self.discard()
        with disk(self.file.parent):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("wb") as file:
                self.file.chmod(self.path.stat().st_mode if self.path.exists() else 0o600)
                yield file
                file.flush()
                os.fsync(file.fileno())
        try:
            _, self.tables = _examined(self.file)
        except sqlite3.DatabaseError as error:
            raise BackupRefused(f"what is in the backup is no sound database: {error}") from None

    def swap(self, stamp: str) -> str | None:
        """Take the database's place in one step; what was there is kept under the name that is returned."""
        kept = self.path.with_name(f"{self.path.name}.before-{stamp}")
        with disk(self.path):
            if not self.path.exists():
                self._set_aside(kept)
                self.file.replace(self.path)
                return None
            _settle(self.path)
            self._set_aside(kept)
            os.link(self.path, kept)
            self.file.replace(self.path)
        return str(kept)

    def _set_aside(self, kept: Path) -> None:
        """A log that is left would be replayed into the new file: it goes with the old one."""
        for end in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                self.path.with_name(f"{self.path.name}{end}").rename(f"{kept}{end}")

    def discard(self) -> None:
        """Leave nothing beside."""
        for end in ("", "-journal", "-wal", "-shm"):
            self.file.with_name(f"{self.file.name}{end}").unlink(missing_ok=True)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=30, isolation_level=None)


def _settle(path: Path) -> None:
    """Have all that is committed in the one file, unless it is what a restore is needed for."""
    with path.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:  # SQLite would throw away the log beside it
            return
    with suppress(sqlite3.DatabaseError), closing(_connect(path, "rw")) as connection:
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute("PRAGMA journal_mode=DELETE")


def _examined(path: Path) -> tuple[list[str], dict[str, Table]]:
    """The revision and the tables of a sound file, which is left without companions."""
    with closing(_connect(path, "rw")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)
        listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        # Of a replication beside the service: no data of its own.
        names = [name for (name,) in listed if not name.startswith(("sqlite_", "_litestream"))]
        quoted = {name: '"' + name.replace('"', '""') + '"' for name in names}
        tables = {name: summed(connection.execute(f"SELECT * FROM {quoted[name]}")) for name in names}  # noqa: S608
        revision = []
        if "alembic_version" in names:
            revision = [str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version")]
    return sorted(revision), tables


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _kind(error, path) from error


def _kind(error: sqlite3.Error, path: Path) -> BackupError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return DiskFailed(f"the disk took no copy of {path}: {error}: make room in BACKUPS__DIRECTORY")
    return DatabaseFailed(f"DATABASE__URL: cannot read {path}: {error}")
