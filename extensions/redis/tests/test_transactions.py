"""Transactions: what one changes is forgotten right after its commit, and what it sees is not kept."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.core.component import Component, State
from app.core.database import Database
from app.extensions.redis import Cache, cached
from app.extensions.redis import cache as module
from app.extensions.redis.decorator import running
from tests.conftest import Serve
from tests.extensions.redis.conftest import Loader

pytestmark = pytest.mark.anyio
INT = TypeAdapter(int)
Forget = Callable[[Cache, AsyncSession], Awaitable[None]]
FORGET = [
    lambda cache, session: cache.invalidate("shop:1", within=session),
    lambda cache, session: cache.invalidate_prefix("shop:", within=session),
    lambda cache, session: cache.invalidate_tag("shops", within=session),
]


@pytest.fixture
async def database(serve: Serve) -> AsyncIterator[Database]:
    """The database of a service, with a price in it."""
    opened: list[Database] = []

    @asynccontextmanager
    async def keep(state: State) -> AsyncIterator[State]:
        opened.append(state["database"])
        yield {}

    await serve(extra=[Component(name="keep", lifespan=keep)])
    async with opened[0].transaction() as session:
        await session.execute(text("CREATE TABLE test_prices (price INTEGER)"))
        await session.execute(text("INSERT INTO test_prices VALUES (1)"))
    yield opened[0]
    async with opened[0].transaction() as session:
        await session.execute(text("DROP TABLE test_prices"))


@cached(ttl=60, key="price")
async def find_price(connection: AsyncConnection | AsyncSession) -> int:
    """The price, as an owner's slice reads it."""
    return int((await connection.execute(text("SELECT price FROM test_prices"))).scalar_one())


async def read(cache: Cache, load: Loader) -> int:
    """A value that a shop's changes concern."""
    return await cache.get("shop:1", load, ttl=60, kind=INT, tags=["shops"])


@pytest.mark.parametrize("forget", FORGET)
async def test_what_a_transaction_changes_is_forgotten_right_after_its_commit(
    cache: Cache, load: Loader, database: Database, forget: Forget
) -> None:
    assert await read(cache, load) == 1
    load.value = 2
    async with database.transaction() as session:
        await forget(cache, session)
        assert await read(cache, load) == 1  # it is not changed yet
    assert await read(cache, load) == 2


@pytest.mark.parametrize("forget", FORGET)
async def test_what_is_rolled_back_is_not_forgotten(
    cache: Cache, load: Loader, database: Database, forget: Forget
) -> None:
    async def forget_and_fail() -> None:
        async with database.transaction() as session:
            await forget(cache, session)
            raise RuntimeError

    await read(cache, load)
    with pytest.raises(RuntimeError):
        await forget_and_fail()
    await read(cache, load)
    assert load.calls == 1


@pytest.mark.parametrize("forget", FORGET)
async def test_it_is_also_forgotten_if_the_outcome_of_the_commit_is_unknown(
    cache: Cache, load: Loader, monkeypatch: pytest.MonkeyPatch, forget: Forget
) -> None:
    calls: list[Callable[[], Awaitable[object]]] = []

    def registered(*_: object, if_unknown: Callable[[], Awaitable[object]]) -> None:
        calls.append(if_unknown)

    monkeypatch.setattr(module, "once_committed", registered)
    await read(cache, load)
    load.value = 2
    async with AsyncSession() as session:
        await forget(cache, session)
    assert await read(cache, load) == 1
    for call in calls:
        await call()
    assert await read(cache, load) == 2


async def test_a_wrong_prefix_is_refused_within_the_transaction(cache: Cache) -> None:
    async with AsyncSession() as session:
        with pytest.raises(ValueError, match="try 'shop:'"):
            await cache.invalidate_prefix("shop", within=session)


async def test_what_is_not_committed_is_neither_kept_nor_hidden(cache: Cache, database: Database) -> None:
    async def change_and_fail() -> None:
        async with database.transaction() as session:
            await session.execute(text("UPDATE test_prices SET price = 2"))
            assert await find_price(session) == 2
            await cache.invalidate("price")  # too early, as an owner may have it
            assert await find_price(session) == 2
            assert await find_price(await session.connection()) == 2
            raise RuntimeError

    with running(cache):
        async with database.read() as connection:
            assert await find_price(connection) == 1
        with pytest.raises(RuntimeError):
            await change_and_fail()
        async with database.read() as connection:
            assert await find_price(connection) == 1


async def test_reads_are_kept_whatever_was_read_before_on_the_connection(
    cache: Cache, database: Database, outcomes: list[str]
) -> None:
    with running(cache):
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
            for _ in range(2):
                assert await find_price(connection) == 1
    assert outcomes == ["miss", "hit"]


async def test_what_a_snapshot_sees_is_not_kept_as_it_may_be_older_than_the_last_invalidation(
    cache: Cache, database: Database, outcomes: list[str]
) -> None:
    snapshots = database.engine.execution_options(read_only=True, snapshot=True)
    with running(cache):
        async with snapshots.connect() as connection:
            await connection.execute(text("SELECT 1"))
            assert await find_price(connection) == 1
    assert outcomes == []
