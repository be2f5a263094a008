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
