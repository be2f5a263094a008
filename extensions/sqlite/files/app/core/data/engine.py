"""SQLite: everything that differs between databases."""

import fcntl
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from pydantic import Field, field_validator
from sqlalchemy import BigInteger, Dialect, Table, event, make_url, text
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.schema import CreateTable

from app.core.data.connection import Connection
from app.core.data.database_file import DatabaseFile
from app.core.data.exact_types import EXACT_TYPES
from app.core.data.pool import DatabaseFault, Gate, PoolSettings
from app.core.errors import ConfigurationInvalid
from app.core.models import Base
from app.core.settings import located

logger = logging.getLogger(__name__)

READING: dict[str, Any] = {"read_only": True}
"""The options of a connection for reads: each statement sees what is committed, and there is nothing to end."""
SNAPSHOT: dict[str, Any] = {"read_only": True, "snapshot": True}
"""The options of a connection on which all statements see one state."""
MIGRATES_IN_BATCHES = True
"""A table is changed by copying it: https://alembic.sqlalchemy.org/en/latest/batch.html"""
PRAGMAS = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "cache_size", "mmap_size", "temp_store")
_FAULTS = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign_key",
    "SQLITE_CONSTRAINT_NOTNULL": "not_null",
    "SQLITE_CONSTRAINT_CHECK": "check",
    "SQLITE_TOOBIG": "value",
    "SQLITE_MISMATCH": "value",
}
_UNAVAILABLE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")

CANNOT_CONNECT = (OSError, sqlite3.Error, DBAPIError)
"""What opening a connection may raise: the file is not there, or is no database."""


@compiles(BigInteger, "sqlite")
def _integer(*_: object, **__: object) -> str:
    return "INTEGER"  # of 64 bits; rows are numbered only in a column that is called so


@compiles(CreateTable, "sqlite")
def _create_table(create: CreateTable, compiler: Any, **options: Any) -> str:
    """Create a table that never gives the id of a deleted row to another: https://www.sqlite.org/autoinc.html."""
    table = create.element
    table.dialect_options["sqlite"]["autoincrement"] = numbers_its_rows(table, compiler.dialect)
    sql: str = compiler.visit_create_table(create, **options)
    if table.primary_key.name is not None:  # left out by SQLAlchemy; a revision may refer to it
        name = compiler.preparer.format_constraint(table.primary_key)
        sql = sql.replace(" PRIMARY KEY AUTOINCREMENT", f" CONSTRAINT {name} PRIMARY KEY AUTOINCREMENT")
    return sql


def numbers_its_rows(table: Table, dialect: Dialect) -> bool:
    """Return whether SQLite makes the ids of a table, which `sqlite_autoincrement=False` lets it use again."""
    key = table.autoincrement_column
    return (
        key is not None
        and len(table.primary_key) == 1
        and not key.foreign_keys
        and key.type.compile(dialect) == "INTEGER"
        and table.dialect_options["sqlite"]["with_rowid"]
        and dict(table.kwargs).get("sqlite_autoincrement", True)  # `get` itself gives the default of SQLAlchemy
    )


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
    """The engine: WAL, foreign keys on, and each write takes the lock at its BEGIN (the default loses updates).

    `make`: the file is made if it does not exist.
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

    async def connect() -> Connection:
        arguments, options = engine.dialect.create_connect_args(engine.url)
        file.open(arguments, options)

        def in_thread() -> sqlite3.Connection:
            connection = sqlite3.connect(*arguments, isolation_level=None, **options)  # BEGIN is ours to send
            file.opened()
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
            return connection

        connection = await Connection(in_thread)
        file.connected(1)
        return connection

    engine = create_async_engine(
        settings.url,
        async_creator=connect,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=settings.pool_size + 1,  # the writer does not come through the gate of the readers
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
    dialect.detect_autocommit_setting = _has_nothing_to_roll_back
    dialect.do_commit = _commit_or_roll_back

    @event.listens_for(engine.sync_engine, "close")
    def closed(_: Any, __: Any) -> None:
        file.connected(-1)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("read_only"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif options.get("snapshot"):
            connection.exec_driver_sql("BEGIN")

    @event.listens_for(engine.sync_engine, "handle_error")
    def ended(error: ExceptionContext) -> None:
        connection = error.connection
        if connection is None or not connection.in_transaction() or (error.statement or "").startswith("BEGIN"):
            return
        driver: Any = connection.connection.driver_connection
        if not connection.get_execution_options().get("read_only") and not driver.in_transaction:
            # A full disk, or ON CONFLICT ROLLBACK, ends the whole transaction. What came after it would be stored.
            error.is_disconnect = True
            error.invalidate_pool_on_disconnect = False

    return engine


def gone(engine: AsyncEngine) -> str | None:
    """The reason why the database is no longer the file that was opened, or nothing."""
    file: DatabaseFile = engine.get_execution_options()["file"]
    return file.gone()


def _has_nothing_to_roll_back(connection: Any) -> bool:
    return not connection.driver_connection.in_transaction


def _commit_or_roll_back(connection: Any) -> None:
    """SQLite leaves open what it failed to COMMIT (a loose end, a full disk), and SQLAlchemy ends it no more."""
    if not connection.driver_connection.in_transaction:
        raise sqlite3.OperationalError("nothing was stored: a statement that failed had ended the transaction")
    try:
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def write_gate(settings: DatabaseSettings) -> Gate:
    """There is one writer: those of this process wait in a queue here, instead of asking the file again and again."""
    return Gate(1, settings.busy_timeout)


@asynccontextmanager
async def allow(connection: AsyncConnection, seconds: float, *, local: bool) -> AsyncIterator[None]:
    """SQLite has no time limit for a statement: nothing to relax."""
    del connection, seconds, local
    yield


def create_for_migrations(settings: DatabaseSettings) -> AsyncEngine:
    """The engine of migrations: it waits for writers, and foreign keys are off.

    A batch change drops the table and makes it again. With foreign keys on, `ON DELETE` then deletes or changes every
    row that refers to it: https://www.sqlite.org/lang_altertable.html#otheralter
    """
    return create(settings.model_copy(update={"busy_timeout": 60.0}), foreign_keys=False, make=True)


async def verify(connection: AsyncConnection) -> None:
    """Refuse a file in which foreign keys do not hold, and warn of tables that use the ids of deleted rows again.

    Raises:
        ConfigurationInvalid: this SQLite was built without foreign keys.
    """
    if await connection.scalar(text("PRAGMA foreign_keys")) != 1:
        raise ConfigurationInvalid("this build of SQLite does not enforce foreign keys: use another one")
    made = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%AUTOINCREMENT%'"
    numbered = {table.name for table in Base.metadata.tables.values() if numbers_its_rows(table, connection.dialect)}
    if reusing := sorted(numbered.intersection((await connection.execute(text(made))).scalars())):
        logger.warning(
            "SQLite gives the id of a deleted row to another one in %s: have a revision copy each table once, "
            "as docs/operations.md shows",
            ", ".join(reusing),
        )


async def facts(connection: AsyncConnection) -> dict[str, Any]:
    """The pragmas in force, for operators."""
    return {"pragmas": {name: await connection.scalar(text(f"PRAGMA {name}")) for name in PRAGMAS}}


def commit_was_refused(error: DBAPIError) -> bool:
    """Whether a COMMIT that ended so has stored nothing: always, since it is rolled back then."""
    del error
    return True


def fault(error: DBAPIError) -> DatabaseFault | None:
    """What SQLite complains of, or nothing where the statement itself is wrong."""
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if name.startswith(_UNAVAILABLE):
        return DatabaseFault("unavailable")
    if isinstance(error.orig, OverflowError) or "too large to convert" in str(error.orig):
        return DatabaseFault("value")
    kind: Any = _FAULTS.get(name)
    if kind is None:
        return None
    about = str(error.orig).partition("failed: ")[2]
    if kind in {"unique", "not_null"} and not about.startswith("index "):
        return DatabaseFault(kind, columns=tuple(column.partition(".")[2] for column in about.split(", ")))
    return DatabaseFault(kind, constraint=re.sub(r"^index '(.*)'$", r"\1", about) or None)


@contextmanager
def migration_lock(connection: sqlalchemy.Connection) -> Iterator[None]:
    """One migration at a time, whoever starts them: a lock on a file beside the database."""
    path = make_url(str(connection.engine.url)).database
    if not path or path == ":memory:":
        yield
        return
    with Path(f"{path}.migrating").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare_place(url: str) -> None:
    """Make the folder that the file will stand in."""
    path = make_url(url).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
