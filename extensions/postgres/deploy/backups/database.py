"""Backups of PostgreSQL: a dump of one snapshot, a restored database beside the service's, and the swap of the two."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from app.core.data.engine import DatabaseSettings
from ops.backups.errors import BackupRefused, DatabaseFailed, InUse
from ops.backups.manifest import Manifest, Table
from ops.backups.programs import check_version, database_of, elsewhere, program
from ops.backups.sealing import Target
from ops.backups.server import Server

KIND = "postgresql"


@dataclass
class Snapshot:
    """The database as it was at one moment."""

    time: datetime
    server: str
    revision: list[str]
    tables: dict[str, Table]
    stream: IO[bytes]


def check_tools(settings: DatabaseSettings, server: str | None = None) -> None:
    """Check that the client programs are there, and as new as the server; `server` is the one that a backup is from.

    Raises:
        ToolMissing: they are not.
        BackupRefused: the server is older than the one of the backup.
    """
    # Before a restore the service's own database may not be there.
    with Server(settings, elsewhere(settings) if server else None) as connection:
        version = connection.version()
    for name in ("pg_dump", "pg_restore"):
        check_version(name, version)
    if server and int(server.split(".")[0]) > int(version.split(".")[0]):
        raise BackupRefused(
            f"the backup is from PostgreSQL {server} and this server is {version}: restore on a newer one"
        )


@contextmanager
def snapshot(settings: DatabaseSettings, work: Path) -> Iterator[Snapshot]:  # noqa: ARG001  # no file of its own
    """A dump, and the sums of the very rows that are in it: both see one snapshot, whatever is written meanwhile.

    Raises:
        DatabaseFailed: the server or pg_dump did not do it.
    """
    with Server(settings) as server:
        time, token = server.open_snapshot()
        tables, revision = server.tables(), server.revision()
        # Not compressed: that is done for all members alike.
        dump = ["pg_dump", "--format=custom", "--compress=0", f"--snapshot={token}", "--lock-wait-timeout=60s"]
        with program(dump, reads=False, settings=settings) as stream:
            yield Snapshot(time, server.version(), revision, tables, stream)


def refuse_running(settings: DatabaseSettings) -> None:
    """Check that no one is connected.

    Raises:
        InUse: a client is.
    """
    with Server(settings, elsewhere(settings)) as server:
        found = server.users(database_of(settings))
    if found:
        raise InUse(
            f"{len(found)} connections to {database_of(settings)} are open ({', '.join(found)[:200]}): stop the service"
        )


def inspect(settings: DatabaseSettings, manifest: Manifest, work: Path) -> "Scan":
    """A reader that throws away what it reads, once it has understood it."""
    del settings, work
    return Scan(manifest)


def beside(settings: DatabaseSettings, manifest: Manifest) -> "Copy":
    """A database beside the service's, which can take its place."""
    del manifest
    return Copy(settings)


class Scan:
    """pg_restore, with nowhere to write to. The rows are counted by a drill only, since that needs a server."""

    def __init__(self, manifest: Manifest) -> None:
        self.tables = manifest.tables

    @contextmanager
    def target(self) -> Iterator[Target]:
        """Give the dump to this.

        Raises:
            BackupRefused: pg_restore does not understand it.
        """
        try:
            with program(["pg_restore", "--file=-"], reads=True) as stream:
                yield stream
        except DatabaseFailed as error:
            raise BackupRefused(f"pg_restore does not understand what is in the backup: {error}") from None

    def discard(self) -> None:
        """There is nothing."""


class Copy:
    """A restored database that is not in use yet."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.settings = settings
        self.name = f"{database_of(settings)[:40]}_restoring"
        self.tables: dict[str, Table] = {}

    @contextmanager
    def target(self) -> Iterator[Target]:
        """Give the dump to this.

        Raises:
            DatabaseFailed: the server or pg_restore did not do it.
        """
        self.discard()
        with Server(self.settings, elsewhere(self.settings)) as server:
            server.create(self.name, like=database_of(self.settings))
        restore = ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error"]
        with program(restore, reads=True, settings=self.settings, database=self.name) as stream:
            yield stream
        with Server(self.settings, self.name) as server:
            server.execute("ANALYZE")
            self.tables = server.tables()

    def swap(self, stamp: str) -> str | None:
        """Take the database's place in one transaction; what was there is kept under the name that is returned."""
        name = database_of(self.settings)
        with Server(self.settings, elsewhere(self.settings)) as server:
            return server.swap(self.name, name, f"{name[:40]}_before_{stamp}")

    def discard(self) -> None:
        """Leave nothing beside."""
        with Server(self.settings, elsewhere(self.settings)) as server:
            server.drop(self.name)
