"""Follow-ups of a transaction: run once it is committed, and never for what was rolled back."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.database import Database, emit_once_committed, once_committed
from app.core.errors import Conflict, FollowUpFailed
from app.core.telemetry import BusinessEvent, listening
from tests.conftest import Serve
from tests.core import things
from tests.core.things import Thing

Follow = Callable[[], Awaitable[None]]


@pytest.fixture
async def database(serve: Serve) -> Database:
    """The database of a running service that has one thing."""
    opened: list[Database] = []
    await serve(extra=[things.component(), things.keeping(opened)])
    return opened[0]


@contextmanager
def told() -> Iterator[list[str]]:
    """The names of the business events inside the block."""
    names: list[str] = []
    with listening(BusinessEvent, lambda event: names.append(event.name)):
        yield names


async def write(database: Database, *following: Follow, error: Exception | None = None) -> None:
    """Add a thing, with calls that follow."""
    async with database.transaction() as session:
        session.add(Thing(name="second"))
        for follow in following:
            once_committed(session, follow)
        if error:
            raise error


async def test_what_follows_a_transaction_sees_it_committed(database: Database) -> None:
    seen: list[int] = []

    async def look() -> None:
        async with database.read() as connection:
            seen.append(await connection.scalar(select(func.count()).select_from(Thing)) or 0)

    with pytest.raises(RuntimeError):
        await write(database, look, error=RuntimeError())
    assert seen == []
    await write(database, look)
    assert seen == [2]


async def test_a_follow_up_that_fails_keeps_no_other_from_being_called(database: Database) -> None:
    seen: list[str] = []

    async def fail() -> None:
        raise Conflict

    async def note() -> None:
        seen.append("called")

    with pytest.raises(FollowUpFailed) as caught:
        await write(database, fail, note, fail, note)
    assert (caught.value.status, type(caught.value.__cause__)) == (500, Conflict)
    assert seen == ["called", "called"]
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(Thing)) == 2


async def test_a_follow_up_may_write_itself(database: Database) -> None:
    async def add() -> None:
        async with database.transaction() as session:
            session.add(Thing(name="third"))

    await write(database, add)
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(Thing)) == 3


async def test_a_caught_error_stores_all_or_nothing_of_the_rest(database: Database) -> None:
    failed = False
    with told() as names:
        try:
            async with database.transaction() as session:
                session.add(Thing(name="second"))
                await session.flush()
                emit_once_committed(session, BusinessEvent("added"))
                with suppress(IntegrityError):  # one database gives the transaction up then, another does not
                    await session.execute(insert(Thing).values(name="first"))
        except DBAPIError:
            failed = True
    async with database.read() as connection:
        stored = await connection.scalar(select(func.count()).select_from(Thing))
    assert (stored, names) == ((1, []) if failed else (2, ["added"]))


async def attempt(session: AsyncSession, name: str, *, error: Exception | None = None, inner: bool = False) -> None:
    """Emit in a savepoint that may fail, and around an inner one that succeeds."""
    with suppress(Conflict):
        async with session.begin_nested():
            emit_once_committed(session, BusinessEvent(f"{name}_begun"))
            session.add(Thing(name=name))
            if inner:
                await attempt(session, f"{name}_inner")
            emit_once_committed(session, BusinessEvent(f"{name}_done"))
            if error:
                raise error


async def test_nothing_follows_a_savepoint_that_was_rolled_back(database: Database) -> None:
    with told() as names:
        async with database.transaction() as session:
            emit_once_committed(session, BusinessEvent("before"))
            await attempt(session, "kept")
            await attempt(session, "dropped", error=Conflict(), inner=True)
            emit_once_committed(session, BusinessEvent("after"))
    assert names == ["before", "kept_begun", "kept_done", "after"]


async def test_a_savepoint_that_wrote_nothing_is_followed_by_nothing_either(database: Database) -> None:
    with told() as names:
        async with database.transaction() as session:
            savepoint = await session.begin_nested()
            emit_once_committed(session, BusinessEvent("dropped"))
            await savepoint.rollback()
    assert names == []


async def test_nothing_follows_a_transaction_that_its_block_rolled_back(database: Database) -> None:
    with told() as names:
        async with database.transaction() as session:
            emit_once_committed(session, BusinessEvent("dropped"))
            await session.rollback()
            emit_once_committed(session, BusinessEvent("kept"))
    assert names == ["kept"]


async def test_nothing_follows_a_savepoint_of_the_connection_itself(database: Database) -> None:
    with told() as names:
        async with database.transaction() as session:
            emit_once_committed(session, BusinessEvent("kept"))
            savepoint = await (await session.connection()).begin_nested()
            emit_once_committed(session, BusinessEvent("dropped"))
            await savepoint.rollback()
    assert names == ["kept"]


async def test_what_a_block_has_committed_is_followed_though_it_fails_later(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as session:
            session.add(Thing(name="second"))
            emit_once_committed(session, BusinessEvent("kept"))
            await session.commit()
            emit_once_committed(session, BusinessEvent("dropped"))
            raise Conflict

    with told() as names, pytest.raises(Conflict):
        await write()
    assert names == ["kept"]
