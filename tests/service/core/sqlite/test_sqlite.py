"""SQLite alone: its pragmas, its one writer, its foreign keys."""

from collections.abc import Callable

import aiosqlite
import anyio
import anyio.lowlevel
import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    delete,
    insert,
    text,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateTable

from app.core.data import engine as backend
from app.core.data.engine import DatabaseSettings
from app.core.database import DatabaseDep
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings
from tests.conftest import Start
from tests.core import things
from tests.core.things import Thing

router = APIRouter(prefix="/things")


@router.post("/count")
async def count_up(database: DatabaseDep) -> int:
    """Reads, thinks, writes."""
    async with database.transaction() as session:
        thing = await session.get_one(Thing, 1)
        before = thing.amount
        await anyio.lowlevel.checkpoint()
        await session.execute(update(Thing).values(amount=before + 1).execution_options(synchronize_session=False))
    return before


async def test_fifty_writers_at_once_lose_no_update(start: Start) -> None:
    client = await start(extra=[things.component(router)])
    answers: list[httpx2.Response] = []

    async def write() -> None:
        answers.append(await client.post("/things/count"))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(write)
    assert [answer.status_code for answer in answers] == [200] * 50
    assert sorted(answer.json() for answer in answers) == list(range(1, 51))


async def test_the_pragmas_are_in_force_and_operators_see_them(client: httpx2.AsyncClient) -> None:
    facts = (await client.get("/health")).json()["parts"]["database"]["facts"]
    assert facts["pragmas"] == {
        "journal_mode": "wal",
        "synchronous": 1,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "cache_size": -16384,
        "mmap_size": 268435456,
        "temp_store": 2,
    }


async def test_a_build_without_foreign_keys_is_refused(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.rollback()
        raw = await connection.get_raw_connection()
        assert raw.driver_connection
        await raw.driver_connection.execute("PRAGMA foreign_keys=OFF")
        with pytest.raises(ConfigurationInvalid, match="does not enforce foreign keys"):
            await backend.verify(connection, DatabaseSettings())
        await raw.driver_connection.execute("PRAGMA foreign_keys=ON")


async def test_the_id_of_a_deleted_row_is_never_used_again(start: Start, engine: AsyncEngine) -> None:
    await start(extra=[things.component()])
    async with engine.begin() as connection:
        await connection.execute(delete(Thing))
        assert (await connection.execute(insert(Thing).values(name="next"))).inserted_primary_key == (2,)


async def test_a_table_that_uses_ids_again_is_named(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    async with engine.execution_options(**backend.READING).connect() as connection:
        await backend.verify(connection, DatabaseSettings())
        assert not caplog.messages
        await connection.execute(text("CREATE TABLE test_shelves (id INTEGER NOT NULL, PRIMARY KEY (id))"))
        await connection.execute(text("CREATE TABLE test_of_another_program (id INTEGER PRIMARY KEY)"))
        await backend.verify(connection, DatabaseSettings())
        await connection.execute(text("DROP TABLE test_shelves"))
        await connection.execute(text("DROP TABLE test_of_another_program"))
    (said,) = caplog.messages
    assert said.startswith("SQLite gives the id of a deleted row to another one in test_shelves: ")


def test_the_key_of_a_table_keeps_its_name() -> None:
    for name, said in (("pk_some", "CONSTRAINT pk_some PRIMARY KEY AUTOINCREMENT"), (None, "NULL PRIMARY KEY AUTO")):
        table = Table("some", MetaData(), Column("id", Integer), PrimaryKeyConstraint("id", name=name))
        assert said in str(CreateTable(table).compile(dialect=sqlite.dialect()))


@pytest.mark.parametrize(
    "columns",
    [
        [Column("id", SmallInteger, primary_key=True)],
        [Column("id", ForeignKey("test_shelves.id"), primary_key=True)],
        [Column("id", Integer, primary_key=True), Column("more", Integer, primary_key=True)],
        [Column("id", Integer, primary_key=True, autoincrement=False)],
    ],
    ids=["small", "reference", "two", "given"],
)
def test_a_key_that_sqlite_does_not_number_is_left_alone(columns: list[Column[int]]) -> None:
    table = Table("some", MetaData(), *columns)
    Table("test_shelves", table.metadata, Column("id", Integer, primary_key=True))
    assert "AUTOINCREMENT" not in str(CreateTable(table).compile(dialect=sqlite.dialect()))


async def test_a_write_takes_one_hop_for_each_statement(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await start(extra=[things.component(router)])
    await client.post("/things/count")  # opens the connection
    hops, run = [], aiosqlite.Connection._execute

    async def counted(connection: aiosqlite.Connection, call: Callable[..., object], *arguments: object) -> object:
        hops.append(call)
        return await run(connection, call, *arguments)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    assert (await client.post("/things/count")).status_code == 200
    assert len(hops) == 4  # BEGIN, SELECT, UPDATE, COMMIT


async def test_a_stream_has_every_row_once(engine: AsyncEngine) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT i FROM n"
    async with engine.connect() as connection:
        rows = await connection.stream(text(numbers))
        assert (await rows.fetchone(), len(await rows.fetchmany(10))) == ((1,), 10)
        assert [row.i async for row in rows] == list(range(12, 2501))


async def test_a_write_takes_the_lock_at_its_beginning_and_a_read_takes_none(
    configured: Callable[..., Settings], engine: AsyncEngine
) -> None:
    patient = backend.create(configured(database={"busy_timeout": 0.01}).of(DatabaseSettings))
    async with engine.begin():
        async with patient.execution_options(**backend.READING).connect() as reader:
            assert await reader.scalar(text("SELECT 1")) == 1
        async with patient.connect() as writer:
            with pytest.raises(OperationalError, match="database is locked"):
                await writer.begin()
    await patient.dispose()


async def test_a_file_that_cannot_be_opened_stops_the_start_in_one_line(start: Start) -> None:
    with pytest.raises(
        ConfigurationInvalid, match=r"^DATABASE__URL: cannot use .*does not exist: run `make migrate`"
    ) as caught:
        await start(database={"url": "sqlite+aiosqlite:////no/such/folder/service.db"})
    assert "\n" not in str(caught.value)


def test_an_address_of_another_database_is_refused(configured: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationInvalid, match="has to look like sqlite") as caught:
        configured(database={"url": "mysql:/me:s3cr3t@host/name"})
    assert "s3cr3t" not in str(caught.value)
