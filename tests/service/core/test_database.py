"""Reads and writes, as they are on every database."""

from contextlib import suppress
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import Executable

from app.core.data.engine import DatabaseSettings
from app.core.database import DatabaseDep
from app.core.errors import ServiceError
from app.core.telemetry import QueryFinished, listening
from tests.conftest import Start
from tests.core import things
from tests.core.conftest import Lines
from tests.core.things import Thing

STATEMENTS: dict[str, Executable] = {
    "select": select(Thing.name),
    "insert": insert(Thing).values(name="second"),
    "delete": delete(Thing),
    "wrong": text("SELECT nothing_that_is_there"),
    "text": text("DELETE FROM test_things"),
}
router = APIRouter(prefix="/things")


@router.get("/read/{name}")
async def read(name: str, database: DatabaseDep) -> str:
    """Runs a statement on a connection for reads."""
    async with database.read() as connection:
        await connection.execute(STATEMENTS[name])
    return name


@router.get("/count/{name}")
async def count_with_more_time(name: str, database: DatabaseDep) -> int:
    """Reads and writes with more time than others have."""
    more: dict[str, Any] = {name: 5.0}
    async with database.read(**more) as connection:
        seen = (await connection.execute(select(Thing.id))).all()
    async with database.transaction(**more) as session:
        session.add(Thing(name="second"))
    return len(seen)


@router.post("/cut-off")
async def cut_off(database: DatabaseDep) -> str:
    """Waits for a lock that another transaction holds, until a time limit ends that."""
    async with database.transaction() as session:
        session.add(Thing(name="contended"))
    async with database.engine.begin() as holder:
        await holder.execute(delete(Thing))
        with suppress(ServiceError, SQLAlchemyError):
            async with database.transaction() as session:
                await session.execute(delete(Thing))
    return "cut off"


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    limit = "busy_timeout" if "busy_timeout" in DatabaseSettings.model_fields else "statement_timeout"
    database = {"slow_query": 1e-9, limit: 0.3}
    return await start(extra=[things.component(router)], log={"format": "json"}, database=database)


async def test_a_connection_for_reads_reads(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/things/read/select")).status_code == 200


@pytest.mark.parametrize("name", ["insert", "delete", "text"])
async def test_a_connection_for_reads_does_not_write(client: httpx2.AsyncClient, log_lines: Lines, name: str) -> None:
    assert (await client.get(f"/things/read/{name}")).status_code == 500
    line = next(line for line in log_lines() if line["event"] == "unexpected error")
    assert "a connection from read() does not write" in line["exception"]


async def test_a_route_may_ask_for_more_time(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/things/count/timeout")).json() == 1


async def test_the_old_name_of_that_time_still_works(client: httpx2.AsyncClient) -> None:
    with pytest.warns(DeprecationWarning, match=r"^app\.core\.database: `patience` is now `timeout`"):
        assert (await client.get("/things/count/patience")).json() == 1


async def test_a_slow_query_is_a_warning(client: httpx2.AsyncClient, log_lines: Lines) -> None:
    await client.get("/things/read/select")
    line = [line for line in log_lines() if line["event"] == "slow query"][-1]
    assert line["level"] == "warning"
    assert line["statement"].startswith("SELECT test_things.name")
    assert line["duration"] > 0


async def test_a_statement_that_was_cut_off_is_a_slow_query_and_is_counted(
    client: httpx2.AsyncClient, log_lines: Lines
) -> None:
    seen: list[QueryFinished] = []
    with listening(QueryFinished, seen.append):
        assert (await client.post("/things/cut-off")).json() == "cut off"
    line = max((line for line in log_lines() if line["event"] == "slow query"), key=lambda line: line["duration"])
    assert line["duration"] > 0.25
    assert line["error"]
    assert [query.statement for query in seen if query.duration > 0.25] == [line["statement"]]


async def test_a_statement_that_fails_is_counted_once(client: httpx2.AsyncClient, log_lines: Lines) -> None:
    seen: list[QueryFinished] = []
    with listening(QueryFinished, seen.append):
        assert (await client.get("/things/read/wrong")).status_code == 500
    assert [query.statement for query in seen].count("SELECT nothing_that_is_there") == 1
    assert [line.get("error") for line in log_lines() if line["event"] == "slow query"].count(None) == len(seen) - 1
