"""PostgreSQL alone: its time limits, and connections that die."""

import time
from collections.abc import Callable

import anyio
import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.component import Component
from app.core.database import DatabaseDep
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings
from tests.conftest import Start
from tests.core.conftest import Lines

router = APIRouter(prefix="/sleep")
KILL = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
POOL = {"pool_size": 1, "pool_overflow": 0}


@router.get("/{seconds}")
async def read_slowly(seconds: float, database: DatabaseDep, timeout: float | None = None) -> str:
    """Reads slowly, and says what limit is in force."""
    async with database.read(timeout=timeout) as connection:
        await connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
        return str(await connection.scalar(text("SHOW statement_timeout")))


@router.post("/{seconds}")
async def write_slowly(seconds: float, database: DatabaseDep, timeout: float | None = None) -> str:
    """Writes slowly, and says what limit is in force."""
    async with database.transaction(timeout=timeout) as session:
        await session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
        return str(await session.scalar(text("SHOW statement_timeout")))


Statements = dict[str, tuple[str, dict[str, object]]]

OUR_MISTAKES: Statements = {
    "division by zero": ("SELECT 1 / 0", {}),
    "unknown label of an enum": ("SELECT CAST('new' AS test_kind)", {}),
    "a text that is cast": ("SELECT CAST(CAST(:value AS text) AS integer)", {"value": "seven"}),
    "a value of another type": ("SELECT CAST(:value AS uuid)", {"value": "seven"}),
    "no such column": ("SELECT nothing FROM alembic_version", {}),
    "a wrong argument": ("SELECT ln(-1)", {}),
}
THEIR_VALUES: Statements = {
    "a NUL byte": ("SELECT CAST(:value AS text)", {"value": "a\0b"}),
    "too large for the driver": ("SELECT CAST(:value AS integer)", {"value": 2**40}),
    "too large for the server": ("SELECT CAST(CAST(:value AS bigint) AS integer)", {"value": 2**40}),
    "no such date": ("SELECT CAST(CAST(:value AS text) AS date)", {"value": "2025-02-30"}),
    "half a surrogate pair": ("SELECT CAST(:value AS text)", {"value": "\ud800"}),
    "an unfinished escape": ("SELECT 'ab' LIKE CAST(:value AS text)", {"value": "a\\"}),
    "no regular expression": ("SELECT 'a' ~ CAST(:value AS text)", {"value": "("}),
}


@router.get("/run/{name}")
async def run(name: str, database: DatabaseDep) -> str:
    """Runs a statement."""
    statement, values = {**OUR_MISTAKES, **THEIR_VALUES}[name]
    async with database.read() as connection:
        return str(await connection.scalar(text(statement), values))


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    return await start(extra=[Component(name="sleep", routers=[router])], database=POOL)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_statement_that_takes_too_long_is_503_within_three_seconds(
    client: httpx2.AsyncClient, method: str
) -> None:
    started = time.perf_counter()
    answer = await client.request(method, "/sleep/60")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert time.perf_counter() - started < 3
    assert (await client.request(method, "/sleep/0")).json() == "1500ms"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_route_may_ask_for_more_time_and_the_next_one_has_the_usual(
    client: httpx2.AsyncClient, method: str
) -> None:
    assert (await client.request(method, "/sleep/2", params={"timeout": 9})).json() == "9s"
    assert (await client.request(method, "/sleep/0")).json() == "1500ms"
    assert (await client.request(method, "/sleep/60")).status_code == 503


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_was_killed_is_never_handed_out(
    client: httpx2.AsyncClient, engine: AsyncEngine, method: str
) -> None:
    assert (await client.request(method, "/sleep/0")).status_code == 200
    async with engine.connect() as connection:
        await connection.execute(KILL)
    await anyio.sleep(0.1)
    assert (await client.request(method, "/sleep/0")).status_code == 200


async def test_a_connection_that_is_killed_while_it_works_is_503(
    client: httpx2.AsyncClient, engine: AsyncEngine
) -> None:
    answers: list[httpx2.Response] = []

    async def ask() -> None:
        answers.append(await client.get("/sleep/1.2"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.sleep(0.4)
        async with engine.connect() as connection:
            await connection.execute(KILL)
    assert answers[0].status_code == 503
    assert (await client.get("/sleep/0")).status_code == 200


async def test_a_server_that_is_not_there_stops_the_start_in_one_line(start: Start) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"^DATABASE__URL: cannot use postgresql") as caught:
        await start(database={"url": "postgresql://me:s3cr3t@127.0.0.1:1/name"})
    assert "s3cr3t" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_address_of_another_database_is_refused(configured: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationInvalid, match="has to look like postgresql") as caught:
        configured(database={"url": "mysql://me:s3cr3t@host/name"})
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("name", OUR_MISTAKES)
async def test_a_mistake_of_our_sql_is_500_with_a_traceback(
    name: str, start: Start, engine: AsyncEngine, log_lines: Lines
) -> None:
    client = await start(extra=[Component(name="sleep", routers=[router])], log={"format": "json"})
    async with engine.begin() as connection:
        await connection.execute(text("DROP TYPE IF EXISTS test_kind"))
        await connection.execute(text("CREATE TYPE test_kind AS ENUM ('old')"))
    answer = await client.get(f"/sleep/run/{name}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert any("Traceback" in line.get("exception", "") for line in log_lines())


@pytest.mark.parametrize("name", THEIR_VALUES)
async def test_a_value_that_the_caller_sent_is_422_and_logged(name: str, start: Start, log_lines: Lines) -> None:
    client = await start(extra=[Component(name="sleep", routers=[router])], log={"format": "json"})
    answer = await client.get(f"/sleep/run/{name}")
    assert (answer.status_code, answer.json()["code"]) == (422, "value_refused")
    assert [line["level"] for line in log_lines() if line["event"] == "value_refused by the database"] == ["warning"]
