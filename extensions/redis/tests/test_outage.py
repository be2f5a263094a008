"""Without the server: requests are answered from the loader, at once, and it is used again when it is back."""

import asyncio
import time
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends
from pydantic import TypeAdapter

from app.core.component import Component
from app.extensions.redis import Cache, CacheDep, LocksDep, cached
from app.extensions.redis.store import Found, Place, Store
from tests.conftest import Start
from tests.extensions.redis.conftest import PATIENCE, Loader, MakeCache
from tests.extensions.redis.servers import Server

pytestmark = pytest.mark.anyio
INT = TypeAdapter(int)


async def until_used(cache: Cache, outcomes: list[str]) -> None:
    """Wait until the cache uses the server again."""
    async with asyncio.timeout(10):
        while outcomes[-1] == "error":
            await asyncio.sleep(0.05)
            await cache.get("n:probe", Loader(), ttl=0.01, kind=INT)


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_an_outage_costs_the_first_requests_the_timeout_and_others_nothing(
    make_cache: MakeCache, load: Loader, outcomes: list[str], server: Server, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = await make_cache(server.url)
    await asyncio.gather(*(cache.get("n:1", load, ttl=60, kind=INT) for _ in range(50)))  # opens all connections
    outcomes.clear()
    getattr(server, how)()
    started = time.perf_counter()
    values = await asyncio.gather(*(cache.get(f"n:{number}", load, ttl=60, kind=INT) for number in range(100)))
    assert values == [1] * 100
    assert time.perf_counter() - started < 20  # two timeouts; one after the other they would wait for 200
    started = time.perf_counter()
    for number in range(500):
        await cache.get(f"n:{number}", load, ttl=60, kind=INT)
    assert time.perf_counter() - started < 20  # each would wait for 2
    assert outcomes == ["error"] * 600
    assert [record.getMessage()[:21] for record in caplog.records] == ["redis does not answer"]
    if how == "kill":
        server.start()
    else:
        server.thaw()
    await until_used(cache, outcomes)
    outcomes.clear()
    await asyncio.gather(*(cache.get(f"n:{number}", load, ttl=60, kind=INT) for number in range(10)))
    assert "error" not in outcomes  # all connections are taken, and none is one of before
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


async def test_it_starts_without_the_server_and_finds_it_later(
    make_cache: MakeCache, load: Loader, outcomes: list[str], server: Server
) -> None:
    server.kill()
    cache = await make_cache(server.url)
    assert await cache.get("n:1", load, ttl=60, kind=INT) == 1
    assert outcomes == ["error"]
    server.start()
    await until_used(cache, outcomes)


async def test_a_lock_that_was_given_too_late_is_given_back(
    make_cache: MakeCache, load: Loader, server: Server, outcomes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, other = await make_cache(server.url), await make_cache(server.url)
    read = Store.read

    async def read_and_freeze(store: Store, place: Place) -> Found:
        found = await read(store, place)
        server.freeze()
        return found

    await cache.get("n:0", load, ttl=60, kind=INT)  # opens a connection, on which the next command will wait
    monkeypatch.setattr(Store, "read", read_and_freeze)
    await cache.get("n:1", load, ttl=60, kind=INT)
    monkeypatch.undo()
    assert outcomes[-1] == "error"
    server.thaw()
    await until_used(cache, outcomes)
    async with asyncio.timeout(5):  # and not the 10 that a loader may take
        await other.get("n:1", load, ttl=60, kind=INT)
    assert outcomes[-1] == "miss"


async def test_parallel_reads_load_once_in_a_process_during_an_outage_too(
    make_cache: MakeCache, load: Loader, server: Server
) -> None:
    server.kill()
    cache = await make_cache(server.url)
    await cache.get("n:0", load, ttl=60, kind=INT)
    load.calls, load.during = 0, lambda: asyncio.sleep(0.1)
    await asyncio.gather(*(cache.get("n:1", load, ttl=60, kind=INT) for _ in range(20)))
    assert load.calls == 1


async def test_a_server_that_refuses_to_store_is_as_good_as_none(
    make_cache: MakeCache, load: Loader, server: Server, outcomes: list[str]
) -> None:
    limited, cache = await make_cache(server.url), await make_cache(server.url)
    await limited._store._connection.command("CONFIG", "SET", "maxmemory", "1")  # type: ignore[union-attr]
    for _ in range(3):
        assert await cache.get("n:1", load, ttl=60, kind=INT) == 1
    assert set(outcomes) == {"error"}


def slice_of_numbers(load: Loader) -> Component:
    """Routes as an owner writes them."""
    router = APIRouter()

    @cached(ttl=60, key="number:{number}")
    async def find(number: int) -> int:
        return number * await load()

    @router.get("/numbers/{number}")
    async def read(number: Annotated[int, Depends(find)]) -> int:
        return number

    @router.delete("/numbers/{number}")
    async def forget(number: int, cache: CacheDep) -> None:
        await cache.invalidate(f"number:{number}")

    @router.post("/reports")
    async def report(locks: LocksDep) -> None:
        async with locks.hold("report", seconds=5):
            await load()

    return Component(name="numbers", routers=[router])


async def test_routes_read_forget_and_lock(start: Start, load: Loader, redis_url: str, namespace: str) -> None:
    client = await start(
        redis={"url": redis_url, "namespace": namespace, "timeout": PATIENCE}, extra=[slice_of_numbers(load)]
    )
    for _ in range(2):
        assert (await client.get("/numbers/7")).json() == 7
    assert load.calls == 1
    await client.delete("/numbers/7")
    await client.get("/numbers/7")
    assert load.calls == 2
    load.during = lambda: asyncio.sleep(0.2)
    answers = await asyncio.gather(client.post("/reports"), client.post("/reports"))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    part = (await client.get("/health")).json()["parts"]["redis"]
    assert part["status"] == "ok"
    assert part["critical"] is False
    assert part["facts"]["server"]


async def test_routes_without_the_server(start: Start, load: Loader, server: Server) -> None:
    server.kill()
    client = await start(redis={"url": server.url}, extra=[slice_of_numbers(load)])
    assert (await client.get("/numbers/7")).json() == 7
    assert (await client.delete("/numbers/7")).status_code == 200
    refused = await client.post("/reports")
    assert refused.status_code == 503
    assert refused.json()["code"] == "lock_unavailable"
    assert (await client.get("/health/ready")).status_code == 200
    assert (await client.get("/health")).json()["status"] == "degraded"


async def test_without_a_url_nothing_is_cached(start: Start, load: Loader, caplog: pytest.LogCaptureFixture) -> None:
    client = await start(extra=[slice_of_numbers(load)])
    for _ in range(2):
        assert (await client.get("/numbers/7")).json() == 7
    assert load.calls == 2
    assert (await client.delete("/numbers/7")).status_code == 200
    assert (await client.post("/reports")).json()["code"] == "lock_unavailable"
    assert "redis" not in (await client.get("/health")).json()["parts"]
    assert "REDIS__URL is not set" in caplog.text
