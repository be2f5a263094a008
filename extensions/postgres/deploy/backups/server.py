"""A connection to the server, for what PostgreSQL's own programs do not do."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import asyncpg  # type: ignore[import-untyped]

from app.core.data.engine import DatabaseSettings
from app.core.data.url import driver_arguments
from ops.backups.errors import DatabaseFailed, InUse
from ops.backups.manifest import Table
from ops.backups.programs import url_of

FAILED = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
ORDER BY 1
"""
# Rows as text, so that any type can be summed; the settings below make that text the same in each session.
SUM = """
SELECT count(*), coalesce(sum(('x' || left(md5("a row"::text), 16))::bit(64)::bigint), 0)::text FROM {} AS "a row"
"""
SESSION = {
    "application_name": "ops",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
}


class Server:
    """A connection."""

    def __init__(self, settings: DatabaseSettings, database: str | None = None) -> None:
        self.url = url_of(settings, database)
        self.runner = asyncio.Runner()

    def __enter__(self) -> Self:
        arguments = driver_arguments(self.url.render_as_string(hide_password=False))
        arguments["server_settings"] |= SESSION
        try:
            self.connection = self._do(lambda: asyncpg.connect(**{"timeout": 10, **arguments}))
        except DatabaseFailed as error:
            self.runner.close()
            raise DatabaseFailed(f"DATABASE__URL: {self.url.render_as_string()}: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.connection.terminate()
        self.runner.close()

    def _do(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async def asked() -> Any:
            return await ask()

        try:
            return self.runner.run(asked())
        except FAILED as error:
            raise DatabaseFailed(str(error).partition("\n")[0] or type(error).__name__) from error

    def execute(self, statement: str) -> None:
        """Do something."""
        self._do(lambda: self.connection.execute(statement))

    def value(self, statement: str, *arguments: object) -> Any:
        """The first value that a query gives."""
        return self._do(lambda: self.connection.fetchval(statement, *arguments))

    def column(self, statement: str, *arguments: object) -> list[str]:
        """The first column that a query gives."""
        return [str(row[0]) for row in self._do(lambda: self.connection.fetch(statement, *arguments))]

    def version(self) -> str:
        """The server's."""
        return str(self.value("SHOW server_version")).split()[0]

    def open_snapshot(self) -> tuple[datetime, str]:
        """Begin a transaction whose sight pg_dump shares."""
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        token = self.value("SELECT pg_export_snapshot()")
        return self.value("SELECT now()"), str(token)

    def revision(self) -> list[str]:
        """Alembic's."""
        there = self.value("SELECT to_regclass('alembic_version')::text")
        return sorted(self.column("SELECT version_num FROM alembic_version")) if there else []

    def tables(self) -> dict[str, Table]:
        """The sum of each table."""
        found = {}
        for name in self.column(TABLES):
            rows = self._do(lambda name=name: self.connection.fetchrow(SUM.format(name)))  # type: ignore[misc]
            found[name] = Table(rows=rows[0], checksum=rows[1])
        return found

    def users(self, database: str) -> list[str]:
        """Return the applications or users that are connected to a database."""
        return self.column(
            "SELECT DISTINCT coalesce(nullif(application_name, ''), usename) FROM pg_stat_activity "
            "WHERE datname = $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
            database,
        )

    def create(self, name: str, *, like: str) -> None:
        """Make an empty database with another one's encoding and order, where there is one."""
        made = f"CREATE DATABASE {_quoted(name)} TEMPLATE template0"
        model = self._do(
            lambda: self.connection.fetchrow(
                "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = $1", like
            )
        )
        if model:
            encoding, collate, ctype = (str(value).replace("'", "''") for value in model)
            made += f" ENCODING '{encoding}' LC_COLLATE '{collate}' LC_CTYPE '{ctype}'"
        self.execute(made)

    def drop(self, name: str) -> None:
        """Remove a database that only this tool uses."""
        self.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def swap(self, new: str, name: str, kept: str) -> str | None:
        """Rename the one, then the other, both or neither.

        Raises:
            InUse: a client has connected meanwhile.
        """
        there = self.value("SELECT true FROM pg_database WHERE datname = $1", name)
        old = f"ALTER DATABASE {_quoted(name)} RENAME TO {_quoted(kept)};" if there else ""
        try:
            self.execute(f"BEGIN; {old} ALTER DATABASE {_quoted(new)} RENAME TO {_quoted(name)}; COMMIT")
        except DatabaseFailed as error:
            if isinstance(error.__cause__, asyncpg.ObjectInUseError):
                raise InUse(f"{error}: stop the service") from error
            raise
        return kept if there else None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
