"""Reads and writes, as they are on every database."""

from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import delete, insert, select, text
from sqlalchemy.sql import Executable

from app.core.database import DatabaseDep
from tests.conftest import Start
from tests.core import things
from tests.core.conftest import Lines
from tests.core.things import Thing

STATEMENTS: dict[str, Executable] = {
    "select": select(Thing.name),
    "insert": insert(Thing).values(name="second"),
    "delete": delete(Thing),
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


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    return await start(extra=[things.component(router)], log={"format": "json"}, database={"slow_query": 1e-9})


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
