"""SQLite: its engine, settings and errors."""

import fcntl
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import Field, field_validator
from sqlalchemy import Table, event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app.core.data.connection import Connection, DatabaseFile, path_of
from app.core.data.exact_types import EXACT_TYPES, numbers_its_rows
from app.core.data.pool import ConnectionLimiter, DatabaseFault, PoolSettings
from app.core.database_errors import AlreadyExists, DatabaseFailed, ReferenceUnknown, ValueMissing, ValueRefused
from app.core.errors import ConfigurationInvalid, ServiceError
from app.core.models import Base
from app.core.settings import located

logger = logging.getLogger(__name__)

READING: dict[str, Any] = {"read_only": True}
"""The options of a connection for reads. Each statement sees what is committed, so no transaction is needed."""
SNAPSHOT: dict[str, Any] = {"read_only": True, "snapshot": True}
"""The options of a connection on which all statements see one state."""
PRAGMAS = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "cache_size", "mmap_size", "temp_store")
CANNOT_CONNECT = (OSError, sqlite3.Error, DBAPIError)
"""The errors of opening a connection: the file does not exist, or is not a database."""
_FAULTS: dict[str, type[ServiceError]] = {
    "SQLITE_CONSTRAINT_UNIQUE": AlreadyExists,
    "SQLITE_CONSTRAINT_PRIMARYKEY": AlreadyExists,
    "SQLITE_CONSTRAINT_ROWID": AlreadyExists,
    "SQLITE_CONSTRAINT_FOREIGNKEY": ReferenceUnknown,
    "SQLITE_CONSTRAINT_NOTNULL": ValueMissing,
    "SQLITE_CONSTRAINT_CHECK": ValueRefused,
    "SQLITE_TOOBIG": ValueRefused,
}
_UNAVAILABLE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")


class DatabaseSettings(PoolSettings):
    """One file, read by many connections and written by one at a time."""

    url: str = Field("sqlite+aiosqlite:///./var/service.db", description="Where the database is.", repr=False)
    pool_size: int = Field(32, ge=1, description="Connections that stay open, a thread each.")
    pool_overflow: int = Field(0, ge=0, description="Connections that may be opened beyond that.")
    busy_timeout: float = Field(5.0, gt=0, description="Seconds that a write waits for the writer before it.")
    cache_size: int = Field(16, ge=1, description="MiB of page cache for each connection.")
    mmap_size: int = Field(256, ge=0, description="MiB of the file that are mapped into memory.")

    @field_validator("url")
    @classmethod
    def _speaks_sqlite(cls, url: str) -> str:
        scheme, _, rest = url.partition("://")
        if scheme not in {"sqlite", "sqlite+aiosqlite"} or not rest.startswith("/"):
            raise ValueError("has to look like sqlite+aiosqlite:///./var/service.db")
        path, mark, query = rest[1:].partition("?")
        if path.startswith("file:") or "uri=" in query:
            raise ValueError("names the file as a URI: write its path, as in sqlite+aiosqlite:////srv/data/service.db")
        if not path or path == ":memory:":
            return f"sqlite+aiosqlite://{rest}"
        return f"sqlite+aiosqlite:///{located(Path(path))}{mark}{query}"


def create(settings: DatabaseSettings, *, foreign_keys: bool = True, make: bool = False) -> AsyncEngine:
    """Return an engine. Each write takes the lock at its BEGIN: the default of SQLite loses updates.

    `make`: create the file if it does not exist.
    """
    logging.getLogger("aiosqlite").setLevel(logging.INFO)  # at DEBUG it writes every parameter
    file = DatabaseFile(settings.url, make=make)
    pragmas = (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
        f"busy_timeout={int(settings.busy_timeout * 1000)}",
        f"cache_size=-{settings.cache_size * 1024}",
        f"mmap_size={settings.mmap_size * 1024 * 1024}",
        "temp_store=MEMORY",
        "journal_size_limit=67108864",
    )

    def connect() -> sqlite3.Connection:
        _, options = engine.dialect.create_connect_args(engine.url)
        connection: sqlite3.Connection = file.connect(isolation_level=None, **options)  # `_begin` sends BEGIN
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    async def opened() -> Connection:
        connection = await Connection(connect).opened()
        file.connections += 1
        return connection

    engine = create_async_engine(
        settings.url,
        async_creator=opened,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=settings.pool_size + 1,  # the limit of readers does not count the writer
        max_overflow=settings.pool_overflow,
        pool_timeout=settings.pool_timeout,
        pool_recycle=settings.pool_recycle,
        hide_parameters=True,  # an error goes to the log, and what was to be stored may be a password
        skip_autocommit_rollback=True,
        execution_options={"file": file},
    )
    # Every connection is in SQLite's own autocommit mode: only it knows whether there is something to roll back.
    dialect: Any = engine.dialect
    dialect.colspecs = dialect.colspecs | EXACT_TYPES
    dialect.detect_autocommit_setting = lambda connection: not connection.driver_connection.in_transaction
    dialect.do_commit = _commit_or_roll_back
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "handle_error", _on_error)

    @event.listens_for(engine.sync_engine, "close")
    def closed(*_: object) -> None:
        file.connections -= 1

    return engine


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("read_only"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif options.get("snapshot"):
        connection.exec_driver_sql("BEGIN")


def _on_error(context: ExceptionContext) -> None:
    connection, error = context.connection, context.sqlalchemy_exception
    if connection is not None and connection.in_transaction() and not (context.statement or "").startswith("BEGIN"):
        driver: Any = connection.connection.driver_connection
        if not connection.get_execution_options().get("read_only") and not driver.in_transaction:
            # A full disk, or ON CONFLICT ROLLBACK, ends the whole transaction. What came after it would be stored.
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = False
    if isinstance(error, IntegrityError) and context.execution_context is not None:
        vars(error)["columns"] = _foreign_keys(context.execution_context.compiled)  # for `fault`: SQLite names none


def _foreign_keys(compiled: Any) -> tuple[str, ...]:
    """Return the columns of the foreign keys that a statement may have broken."""
    statement = getattr(compiled, "statement", None)
    table = getattr(statement, "table", None)
    if not isinstance(table, Table):
        return ()
    if isinstance(statement, sa.Delete):
        referring = [key for one in table.metadata.tables.values() for key in one.foreign_key_constraints]
        keys = [key for key in referring if key.referred_table.fullname == table.fullname]
    else:
        written = set(compiled.params)
        keys = [key for key in table.foreign_key_constraints if written.issuperset(key.column_keys)]
    return tuple(name for key in sorted(keys, key=lambda key: str(key.name)) for name in key.column_keys)


def gone(engine: AsyncEngine) -> str | None:
    """Return why the database is no longer the file that was opened, or nothing."""
    file: DatabaseFile = engine.get_execution_options()["file"]
    return file.gone()


def _commit_or_roll_back(connection: Any) -> None:
    """Commit. SQLite keeps open what it fails to commit (a loose end, a full disk), so that is rolled back here."""
    if not connection.driver_connection.in_transaction:
        raise sqlite3.OperationalError("nothing was stored: a statement that failed had ended the transaction")
    try:
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def write_limiter(settings: DatabaseSettings) -> ConnectionLimiter:
    """Return the queue of writers. SQLite has one at a time: waiting here is cheaper than asking the file again."""
    return ConnectionLimiter(1, settings.busy_timeout)


@asynccontextmanager
async def allow(*_: object, **__: object) -> AsyncIterator[None]:
    """Do nothing: SQLite has no time limit for a statement."""
    yield


def create_for_migrations(settings: DatabaseSettings) -> AsyncEngine:
    """Return an engine that waits for writers, with foreign keys off.

    A batch change drops the table and makes it again. With foreign keys on, `ON DELETE` then deletes or changes every
    row that refers to it: https://www.sqlite.org/lang_altertable.html#otheralter
    """
    return create(settings.model_copy(update={"busy_timeout": 60.0}), foreign_keys=False, make=True)


async def verify(connection: AsyncConnection, _: DatabaseSettings) -> None:
    """Refuse a build of SQLite without foreign keys, and warn of tables that use the ids of deleted rows again."""
    if await connection.scalar(sa.text("PRAGMA foreign_keys")) != 1:
        raise ConfigurationInvalid("this build of SQLite does not enforce foreign keys: use another one")
    made = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%AUTOINCREMENT%'"
    numbered = {table.name for table in Base.metadata.tables.values() if numbers_its_rows(table, connection.dialect)}
    if reusing := sorted(numbered.intersection((await connection.execute(sa.text(made))).scalars())):
        logger.warning(
            "SQLite gives the id of a deleted row to another one in %s: have a revision copy each table once, "
            "as docs/operations.md shows",
            ", ".join(reusing),
        )


def advice(_: str) -> str:
    """Return what to do about an error of connecting."""
    return "make it work, or name another one"


async def facts(connection: AsyncConnection) -> dict[str, Any]:
    """Return the pragmas in force, for operators."""
    return {"pragmas": {name: await connection.scalar(sa.text(f"PRAGMA {name}")) for name in PRAGMAS}}


def commit_was_refused(_: DBAPIError) -> bool:
    """Return whether a failed COMMIT has stored nothing: always, since it is rolled back."""
    return True


def fault(error: DBAPIError) -> DatabaseFault | None:
    """Return what SQLite refuses, or nothing if the statement itself is wrong."""
    name, said = str(getattr(error.orig, "sqlite_errorname", "")), str(error.orig)
    if name.startswith(_UNAVAILABLE):
        return DatabaseFault(DatabaseFailed)
    if isinstance(error.orig, OverflowError) or "too large to convert" in said:
        return DatabaseFault(ValueRefused)
    known = _FAULTS.get(name)
    if known is None:
        return None
    if known is ReferenceUnknown:
        return DatabaseFault(known, columns=vars(error).get("columns", ()))
    about = said.partition("failed: ")[2]
    if about.startswith("index "):
        return DatabaseFault(known, constraint=about.removeprefix("index ").strip("'"))
    if known in {AlreadyExists, ValueMissing}:
        return DatabaseFault(known, columns=tuple(column.partition(".")[2] for column in about.split(", ")))
    return DatabaseFault(known, constraint=about or None)


@contextmanager
def migration_lock(connection: sa.Connection) -> Iterator[None]:
    """Run one migration at a time, by a lock on a file beside the database."""
    path = path_of(str(connection.engine.url))
    with Path(f"{path}.migrating").open("w") if path else nullcontext() as file:
        if file:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare_place(url: str) -> None:
    """Make the folder of the file."""
    if path := path_of(url):
        path.parent.mkdir(parents=True, exist_ok=True)
