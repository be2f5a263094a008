"""Locks: one holder at a time, who gives back, and what ends by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from app.core.data.redis_client import Part, RedisClient
from app.extensions.redis import Locks, LockTaken, LockUnavailable, RedisSettings, connect
from tests.extensions.redis.conftest import PATIENCE
from tests.extensions.redis.servers import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def locks(direct: RedisClient, namespace: str) -> Locks:
    """The locks of one process."""
    return Locks(direct, namespace)


@pytest.fixture
async def others(redis_url: str, namespace: str) -> AsyncIterator[Locks]:
    """The locks of another process."""
    connection = connect(RedisSettings(url=redis_url, timeout=PATIENCE))
    yield Locks(connection, namespace)
    await connection.close()


async def test_whoever_comes_second_is_refused_until_the_first_is_done(locks: Locks, others: Locks) -> None:
    async with locks.hold("report", seconds=30):
        with pytest.raises(LockTaken):
            async with others.hold("report", seconds=30):
                pass
        async with others.hold("another report", seconds=30):
            pass
    async with others.hold("report", seconds=30):
        pass


async def test_whoever_waits_gets_it_next(locks: Locks, others: Locks) -> None:
    inside = 0

    async def work(locks: Locks) -> None:
        nonlocal inside
        async with locks.hold("report", seconds=30, wait=30):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.02)
            inside -= 1

    await asyncio.gather(*(work(each) for _ in range(5) for each in (locks, others)))


async def test_a_failure_gives_it_back(locks: Locks, others: Locks) -> None:
    with pytest.raises(ZeroDivisionError):
        async with locks.hold("report", seconds=30):
            1 / 0  # noqa: B018
    async with others.hold("report", seconds=30):
        pass


async def test_a_block_ends_no_later_than_its_lock(locks: Locks, others: Locks) -> None:
    with pytest.raises(TimeoutError):
        async with locks.hold("report", seconds=0.1):
            await asyncio.sleep(5)
    async with others.hold("report", seconds=30):
        pass


async def test_a_lock_that_ran_out_is_not_taken_from_its_next_holder(
    locks: Locks, others: Locks, direct: RedisClient, namespace: str
) -> None:
    next_holder = AsyncExitStack()
    async with locks.hold("report", seconds=30):
        await direct.command("DEL", f"{namespace}:lock:report")  # as if its time were over
        await next_holder.enter_async_context(others.hold("report", seconds=30))
    with pytest.raises(LockTaken):
        async with locks.hold("report", seconds=30):
            pass
    await next_holder.aclose()


async def test_without_the_server_nobody_gets_it(server: Server) -> None:
    connection = connect(RedisSettings(url=server.url, timeout=PATIENCE))
    locks = Locks(connection, "test")
    async with locks.hold("report", seconds=30):
        server.kill()
    with pytest.raises(LockUnavailable):
        async with locks.hold("report", seconds=30):
            pass
    await connection.close()


async def test_a_lock_that_the_server_lost_is_logged(
    locks: Locks, direct: RedisClient, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with locks.hold("report", seconds=30):
        await direct.command("DEL", f"{namespace}:lock:report")  # as if it had started again, or had no room
    assert [record.getMessage()[:24] for record in caplog.records] == ["the lock report was lost"]
    async with locks.hold("report", seconds=30):
        pass
    assert len(caplog.records) == 1


@pytest.mark.parametrize("when", ["taken", "given back"])
async def test_a_lock_is_free_after_an_outage(server: Server, when: str) -> None:
    connection, other = (connect(RedisSettings(url=server.url, timeout=PATIENCE)) for _ in range(2))
    locks, others = Locks(connection, "test"), Locks(other, "test")
    async with locks.hold("opens a connection", seconds=30):
        pass
    if when == "taken":
        server.freeze()
        with pytest.raises(LockUnavailable):
            await locks.hold("report", seconds=600).__aenter__()  # it waits in the frozen server
    else:
        async with locks.hold("report", seconds=600):
            server.freeze()
            with pytest.raises(LockUnavailable):  # finds out that the server is away, so that nothing is sent below
                await locks.hold("another report", seconds=30).__aenter__()
    server.thaw()
    async with others.hold("report", seconds=30, wait=20):
        pass
    await connection.close()
    await other.close()


async def test_a_lock_is_free_after_its_taker_was_cancelled(
    locks: Locks, others: Locks, direct: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, taken = direct.command, asyncio.Event()

    async def take_and_wait(*parts: Part) -> None:
        await command(*parts)
        taken.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(direct, "command", take_and_wait)
    taking = asyncio.create_task(locks.hold("report", seconds=600).__aenter__())
    await taken.wait()
    taking.cancel()
    await asyncio.wait([taking])
    async with others.hold("report", seconds=30):
        pass


async def test_a_lock_of_no_time_is_no_outage(locks: Locks) -> None:
    with pytest.raises(TimeoutError):
        async with locks.hold("report", seconds=0):
            await asyncio.sleep(1)
    async with locks.hold("another report", seconds=30):
        pass
