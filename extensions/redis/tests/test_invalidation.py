"""Forgetting: by key, prefix and tag, at once and in every process, and what is being loaded at the time too."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from pydantic import TypeAdapter

from app.extensions.redis import Cache
from tests.extensions.redis.conftest import Loader, MakeCache
from tests.extensions.redis.servers import Server

pytestmark = pytest.mark.anyio
INT = TypeAdapter(int)
Forget = Callable[[Cache], Awaitable[None]]


@pytest.mark.parametrize(
    ("forget", "gone"),
    [
        (lambda cache: cache.invalidate("shop:1:nut"), {"shop:1:nut"}),
        (lambda cache: cache.invalidate("shop:1", "shop:2:nut"), {"shop:1", "shop:2:nut"}),
        (lambda cache: cache.invalidate_prefix("shop:1:"), {"shop:1:nut", "shop:1:pea"}),
        (lambda cache: cache.invalidate_prefix("shop:"), {"shop:1", "shop:1:nut", "shop:1:pea", "shop:2:nut"}),
        (lambda cache: cache.invalidate_prefix(""), {"shop:1", "shop:1:nut", "shop:1:pea", "shop:2:nut", "other"}),
        (lambda cache: cache.invalidate_tag("nut"), {"shop:1:nut", "shop:2:nut"}),
        (lambda cache: cache.invalidate_tag("pea", "nut"), {"shop:1:nut", "shop:1:pea", "shop:2:nut"}),
        (lambda cache: cache.invalidate_tag("no such"), set()),
        (lambda cache: cache.invalidate(), set()),
    ],
)
async def test_what_is_invalidated_is_loaded_anew_and_nothing_else(
    make_cache: MakeCache, load: Loader, forget: Forget, gone: set[str]
) -> None:
    one, other = await make_cache(), await make_cache()

    async def read(cache: Cache) -> dict[str, int]:
        keys = ["shop:1", "shop:1:nut", "shop:1:pea", "shop:2:nut", "other"]
        return {key: await cache.get(key, load, ttl=60, kind=INT, tags=[key.split(":")[-1]]) for key in keys}

    await read(one)
    load.value = 2
    assert set((await read(one)).values()) == {1}
    await forget(one)
    assert {key for key, value in (await read(other)).items() if value == 2} == gone


async def test_a_prefix_ends_with_a_colon(cache: Cache) -> None:
    with pytest.raises(ValueError, match="'shop' does not: try 'shop:'"):
        await cache.invalidate_prefix("shop")


@pytest.mark.parametrize(
    "forget",
    [
        lambda cache: cache.invalidate("shop:1"),
        lambda cache: cache.invalidate_prefix("shop:"),
        lambda cache: cache.invalidate_tag("shops"),
    ],
)
@pytest.mark.parametrize("known", [False, True])
async def test_what_was_read_before_an_invalidation_is_not_kept_after_it(
    make_cache: MakeCache, load: Loader, forget: Forget, known: bool
) -> None:
    cache, other = await make_cache(), await make_cache()

    async def get(cache: Cache) -> int:
        return await cache.get("shop:1", load, ttl=0.01, kind=INT, tags=["shops"])

    if known:
        await get(cache)
        await asyncio.sleep(0.02)

    async def change() -> None:
        load.value, load.during = 2, None
        await forget(other)

    load.during = change
    assert await get(cache) == 1  # it had read the old value when it was changed
    assert await get(cache) == 2
    assert await get(other) == 2


async def test_who_asks_after_an_invalidation_does_not_get_what_was_read_before_it(cache: Cache, load: Loader) -> None:
    loading = asyncio.Event()

    async def tell() -> None:
        loading.set()
        await asyncio.sleep(0.3)

    load.during = tell
    slow = asyncio.create_task(cache.get("shop:1", load, ttl=60, kind=INT))
    await loading.wait()
    load.value, load.during = 2, None
    await cache.invalidate("shop:1")
    assert await cache.get("shop:1", load, ttl=60, kind=INT) == 2
    assert await slow == 1
    assert await cache.get("shop:1", load, ttl=60, kind=INT) == 2


async def test_an_invalidated_value_is_not_given_while_its_loader_fails(cache: Cache, load: Loader) -> None:
    await cache.get("shop:1", load, ttl=60, kind=INT)
    await cache.invalidate("shop:1")
    load.error = OSError()
    with pytest.raises(OSError):  # noqa: PT011  # it has no text
        await cache.get("shop:1", load, ttl=60, kind=INT)


async def test_what_was_to_be_forgotten_during_an_outage_is_forgotten_after_it(
    make_cache: MakeCache, load: Loader, server: Server, outcomes: list[str]
) -> None:
    cache = await make_cache(server.url)
    assert await cache.get("shop:1", load, ttl=60, kind=INT) == 1
    load.value = 2
    server.freeze()
    await cache.invalidate("other:1")  # finds out that the server is away
    await cache.invalidate("shop:1")
    server.thaw()
    async with asyncio.timeout(10):
        while outcomes[-1] in {"error", "miss"} or len(outcomes) < 3:
            assert await cache.get("shop:1", load, ttl=60, kind=INT) == 2
            await asyncio.sleep(0.1)
    assert "error" in outcomes
    assert outcomes[-2:] == ["miss", "hit"]
