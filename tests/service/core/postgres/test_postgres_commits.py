"""Outcomes of a COMMIT of PostgreSQL: stored, not stored without an error, or unknown."""

import asyncio
from contextlib import suppress
from typing import Any

import anyio
import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from app.core import context
from app.core.context import RequestContext
from app.core.database import Database, emit_once_committed, once_committed
from app.core.errors import OutcomeUnknown
from app.core.telemetry import BusinessEvent, listening
from tests.conftest import Serve
from tests.core import things
from tests.core.test_follow_ups import told
from tests.core.test_postgres import KILL
from tests.core.things import Thing

DUPLICATE = "INSERT INTO test_things (name, amount, version) VALUES ('first', 1, 1)"


@pytest.fixture
async def database(serve: Serve) -> Database:
    """The database of a running service that has one thing."""
    opened: list[Database] = []
    await serve(extra=[things.component(), things.keeping(opened)])
    return opened[0]


async def counted(database: Database) -> int:
    """Return the number of stored things."""
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(Thing)) or 0


async def swallow(database: Database, statement: str, *, driver: bool) -> None:
    """Swallow the error of a statement, and go on, as a feature may do it."""
    async with database.transaction() as session:
        session.add(Thing(name="second"))
        await session.flush()
        emit_once_committed(session, BusinessEvent("added"))
        with suppress(Exception):
            if driver:
                raw: Any = await (await session.connection()).get_raw_connection()
                await raw.driver_connection.execute(statement)
            else:
                await session.execute(text(statement))


@pytest.mark.parametrize("statement", [DUPLICATE, "SELECT 1 / 0", "SELECT pg_sleep(9)"])
@pytest.mark.parametrize("driver", [False, True], ids=["sqlalchemy", "driver"])
async def test_a_failed_statement_whose_error_is_caught_makes_the_commit_an_error(
    database: Database, statement: str, driver: bool
) -> None:
    with told() as names, pytest.raises(DBAPIError, match="begin_nested"):
        await swallow(database, statement, driver=driver)
    assert names == []
    assert await counted(database) == 1


async def test_a_failed_statement_in_a_savepoint_leaves_the_rest(database: Database) -> None:
    with told() as names:
        async with database.transaction() as session:
            session.add(Thing(name="second"))
            emit_once_committed(session, BusinessEvent("added"))
            with pytest.raises(IntegrityError):
                async with session.begin_nested():
                    await session.execute(text(DUPLICATE))
    assert names == ["added"]
    assert await counted(database) == 2


@pytest.mark.parametrize("explicit", [False, True], ids=["at the end", "in the block"])
async def test_a_connection_that_is_lost_at_the_commit_is_an_unknown_outcome(
    database: Database, engine: AsyncEngine, explicit: bool
) -> None:
    async def kill() -> None:
        async with engine.connect() as connection:
            await connection.execute(KILL)
        await anyio.sleep(0.1)

    async def never() -> None:
        called.append("only if it is committed")

    async def either() -> None:
        called.append("in any case")

    async def write() -> None:
        context.enter(request)
        async with database.transaction() as session:
            session.add(Thing(name="second"))
            emit_once_committed(session, BusinessEvent("added"))
            once_committed(session, never)
            once_committed(session, either, if_unknown=either)
            event.listen(database.engine.sync_engine, "commit", lambda _: await_only(kill()), once=True)
            if explicit:
                await session.commit()

    request = RequestContext()
    called: list[str] = []
    outcomes: list[str | None] = []
    with listening(BusinessEvent, lambda event: outcomes.append(event.outcome)), pytest.raises(OutcomeUnknown):
        await asyncio.create_task(write())
    assert outcomes == ["unknown"]
    assert called == ["in any case"]
    assert request.stored, "may be: whoever gives the request up from now on has to say so"
    assert await counted(database) == 1


async def test_settings_that_a_route_leaves_do_not_reach_the_next_one(serve: Serve) -> None:
    opened: list[Database] = []
    await serve(extra=[things.keeping(opened)], database={"pool_size": 1, "pool_overflow": 0})
    (database,) = opened
    async with database.read() as connection:
        await connection.execute(text("SET statement_timeout = 0"))
    async with database.transaction() as session:
        assert await session.scalar(text("SHOW statement_timeout")) == "1500ms"
        await session.execute(text("SET search_path = nowhere"))
    async with database.read() as connection:
        assert await connection.scalar(text("SHOW search_path")) == '"$user", public'
