"""Many who ask at once, in one process and in several: the value is loaded once, and waiting costs next to nothing."""

import asyncio

import pytest
from pydantic import TypeAdapter

from app.core.data.redis_client import RedisClient
from app.core.errors import NotFound
from app.extensions.redis import Cache
from tests.extensions.redis.conftest import Loader, MakeCache

pytestmark = pytest.mark.anyio
INT = TypeAdapter(int)


async def test_parallel_misses_of_one_process_load_once(
    cache: Cache, load: Loader, direct: RedisClient, outcomes: list[str]
) -> None:
    load.during = lambda: asyncio.sleep(1)
    before = await commands(direct)
    values = await asyncio.gather(*(cache.get("n:1", load, ttl=60, kind=INT) for _ in range(50)))
    assert values == [1] * 50
    assert load.calls == 1
    assert set(outcomes) <= {"miss", "hit"}
    assert await commands(direct) - before <= 50 + 45  # a read each, and whoever looks does so every 50 ms for all


async def test_each_caller_has_a_copy_of_its_own(cache: Cache) -> None:
    async def load() -> list[int]:
        await asyncio.sleep(0.05)
        return [1]

    one, other = await asyncio.gather(*(cache.get("n:1", load, ttl=60, kind=TypeAdapter(list[int])) for _ in range(2)))
    one.append(2)
    assert other == [1]


async def test_a_waiting_process_looks_every_50_ms_and_no_more(
    make_cache: MakeCache, load: Loader, direct: RedisClient
) -> None:
    # The very failure that ruled out a library: two processes that waited one second sent 9054 commands.
    load.during = lambda: asyncio.sleep(1)
    first, second = await make_cache(), await make_cache()
    before = await commands(direct)
    one, other = await asyncio.gather(*(cache.get("n:1", load, ttl=60, kind=INT) for cache in (first, second)))
    assert one == other == 1
    assert load.calls == 1
    assert await commands(direct) - before < 45  # about 20 looks


async def test_nobody_waits_longer_than_a_loader_may_take(
    make_cache: MakeCache, load: Loader, direct: RedisClient, namespace: str
) -> None:
    await direct.command("SET", f"{namespace}:loading:n:1", "of another process", "PX", 60_000)
    cache = await make_cache(loading_timeout=0.3)
    async with asyncio.timeout(8):
        assert await cache.get("n:1", load, ttl=60, kind=INT) == 1


async def test_a_failure_is_everybodys_who_waited(cache: Cache, load: Loader) -> None:
    loading, end = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        loading.set()
        await end.wait()

    load.during, load.error = wait, NotFound()
    tasks = [asyncio.create_task(cache.get("n:1", load, ttl=60, kind=INT))]
    await loading.wait()
    tasks += [asyncio.create_task(cache.get("n:1", load, ttl=60, kind=INT)) for _ in range(4)]
    await asyncio.sleep(0.3)
    end.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    load.during = None
    assert [type(result) for result in results] == [NotFound] * 5
    assert load.calls == 1
    load.error = None
    assert await cache.get("n:1", load, ttl=60, kind=INT) == 1


async def test_a_cancelled_caller_leaves_its_work_to_the_next(cache: Cache, load: Loader) -> None:
    loading, never = asyncio.Event(), asyncio.Event()

    async def stick() -> None:
        loading.set()
        await never.wait()

    load.during = stick
    first = asyncio.create_task(cache.get("n:1", load, ttl=60, kind=INT))
    await loading.wait()
    second = asyncio.create_task(cache.get("n:1", load, ttl=60, kind=INT))
    await asyncio.sleep(0.1)
    load.during = None
    first.cancel()
    assert await second == 1
    assert load.calls == 2


async def test_a_loader_that_never_ends_does_not_keep_other_processes_waiting(
    make_cache: MakeCache, load: Loader
) -> None:
    loading, never = asyncio.Event(), asyncio.Event()

    async def stick() -> int:
        loading.set()
        await never.wait()
        return 0

    first, second = await make_cache(loading_timeout=0.3), await make_cache(loading_timeout=0.3)
    waiting = asyncio.create_task(first.get("n:1", stick, ttl=60, kind=INT))
    await loading.wait()
    async with asyncio.timeout(8):
        assert await second.get("n:1", load, ttl=60, kind=INT) == 1
    waiting.cancel()


async def commands(direct: RedisClient) -> int:
    """Return the number of commands that the caches have sent so far."""
    statistics = await direct.command("INFO", "commandstats")
    return sum(statistics.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("mget", "eval", "evalsha", "del"))
