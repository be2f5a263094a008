"""The start: what is stored is voided before it answers a read, since a predecessor may have missed an invalidation."""

import asyncio
from collections.abc import Callable

import pytest
from pydantic import TypeAdapter

from app.core.data.redis_client import RedisClient
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings
from app.extensions.redis import Cache, RedisSettings, connect
from tests.extensions.redis.conftest import PATIENCE, Loader, MakeCache
from tests.extensions.redis.servers import Server
from tests.extensions.redis.test_outage import until_used
from tests.extensions.redis.test_parallel import commands

pytestmark = pytest.mark.anyio
INT = TypeAdapter(int)


async def test_a_start_voids_what_is_stored(make_cache: MakeCache, load: Loader, outcomes: list[str]) -> None:
    predecessor = await make_cache()
    await predecessor.get("shop:1", load, ttl=60, kind=INT)
    load.value = 2
    successor = await make_cache()
    for cache in (successor, successor, predecessor):
        assert await cache.get("shop:1", load, ttl=60, kind=INT) == 2
    assert outcomes == ["miss", "miss", "hit", "hit"]


async def test_a_read_before_the_start_is_not_answered_from_what_is_stored(
    make_cache: MakeCache, load: Loader, redis_url: str, namespace: str
) -> None:
    await (await make_cache()).get("shop:1", load, ttl=60, kind=INT)
    load.value = 2
    settings = RedisSettings(url=redis_url, timeout=PATIENCE)
    connection = connect(settings)
    cache = Cache(connection, settings, namespace)
    values = await asyncio.gather(*(cache.get("shop:1", load, ttl=60, kind=INT) for _ in range(20)))
    assert values == [2] * 20
    assert load.calls == 2
    await connection.close()


async def test_an_invalidation_that_a_predecessor_missed_is_made_up_for(
    make_cache: MakeCache, load: Loader, server: Server, outcomes: list[str]
) -> None:
    predecessor = await make_cache(server.url)
    assert await predecessor.get("shop:1", load, ttl=60, kind=INT) == 1
    load.value = 2
    server.freeze()
    await predecessor.get("other:1", load, ttl=60, kind=INT)  # finds out that the server is away
    await predecessor.invalidate("shop:1")
    await predecessor._store._connection.close()  # type: ignore[union-attr]  # it ends, and with it what it knows
    successor = await make_cache(server.url)
    assert await successor.get("shop:1", load, ttl=60, kind=INT) == 2
    assert outcomes[-1] == "error"
    server.thaw()
    await until_used(successor, outcomes)
    for _ in range(2):
        assert await successor.get("shop:1", load, ttl=60, kind=INT) == 2
    assert outcomes[-1] == "hit"


async def test_a_start_of_many_processes_is_one_command_each(
    make_cache: MakeCache, load: Loader, direct: RedisClient
) -> None:
    before = await commands(direct)
    caches = await asyncio.gather(*(make_cache() for _ in range(8)))
    assert await commands(direct) - before == 8
    await asyncio.gather(*(cache.get("shop:1", load, ttl=60, kind=INT) for cache in caches for _ in range(10)))
    assert load.calls == 1


async def test_an_invalidation_that_is_cut_short_is_made_up_for(
    make_cache: MakeCache, load: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = await make_cache()
    await cache.get("shop:1", load, ttl=60, kind=INT)
    load.value = 2
    sending = asyncio.Event()

    async def send(*_: object) -> None:
        sending.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(cache._store, "forget", send)
    invalidation = asyncio.create_task(cache.invalidate("shop:1"))
    await sending.wait()
    invalidation.cancel()
    await asyncio.wait([invalidation])
    monkeypatch.undo()
    assert await cache.get("shop:1", load, ttl=60, kind=INT) == 2


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa55@h/0?foo=bar",
        "redis://:pa55@h/0?ssl_cert_reqs=none",
        "rediss://:pa55@h/0?ssl_cert_reqs=maybe",
        "redis://:pa55@h/first",
        "redis://:pa55@h/0?db=x",
        "rediss://h?ssl_ca_certs=/no",
        "redis://h?decode_responses=1",
    ],
)
def test_a_url_that_the_client_does_not_take_is_refused(url: str, configured: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        configured(redis={"url": url})
    (line,) = caught.value.mistakes
    assert line.startswith("REDIS__URL: ")
    assert "pa55" not in line


@pytest.mark.parametrize("url", ["rediss://u:p%40ss@h:6380/1?ssl_cert_reqs=none", "redis://h?db=3&protocol=2"])
def test_a_url_with_parameters_is_taken(url: str) -> None:
    assert RedisSettings(url=url).url == url
