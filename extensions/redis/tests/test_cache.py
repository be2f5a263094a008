"""The cache, on a real server: what is kept, for how long, and what is given while a loader fails."""

import asyncio

import pytest
from pydantic import BaseModel, TypeAdapter

from app.core.data.redis_client import RedisClient
from app.core.errors import NotFound
from app.extensions.redis import Cache
from tests.extensions.redis.conftest import Loader

pytestmark = pytest.mark.anyio
INT = TypeAdapter(int)


class Product(BaseModel):
    """Something to keep."""

    name: str
    price: int


async def test_a_value_is_loaded_once_and_then_kept(cache: Cache, load: Loader, outcomes: list[str]) -> None:
    for _ in range(3):
        assert await cache.get("n:1", load, ttl=60, kind=INT) == 1
    assert load.calls == 1
    assert outcomes == ["miss", "hit", "hit"]


async def test_none_is_a_value(cache: Cache) -> None:
    calls = 0

    async def load() -> int | None:
        nonlocal calls
        calls += 1
        return None

    for _ in range(2):
        assert await cache.get("n:1", load, ttl=60, kind=TypeAdapter(int | None)) is None
    assert calls == 1


async def test_a_value_is_loaded_anew_when_its_time_is_over(cache: Cache, load: Loader) -> None:
    await cache.get("n:1", load, ttl=0.05, kind=INT)
    load.value = 2
    await asyncio.sleep(0.06)
    assert await cache.get("n:1", load, ttl=0.05, kind=INT) == 2


async def test_times_to_live_differ_and_are_never_longer_than_asked(
    cache: Cache, load: Loader, direct: RedisClient, namespace: str
) -> None:
    for number in range(20):
        await cache.get(f"n:{number}", load, ttl=100, kind=INT)
    stored = [await direct.command("GET", f"{namespace}:value:n:{number}") for number in range(20)]
    until = [int(entry.split(b" ")[0]) for entry in stored]
    assert 1_000 < max(until) - min(until) < 10_500  # milliseconds
    assert 600_000 < await direct.command("PTTL", f"{namespace}:value:n:0") <= 700_000  # and its time as a stale one


async def test_values_are_json_and_come_back_as_what_they_were(
    cache: Cache, direct: RedisClient, namespace: str
) -> None:
    async def load() -> list[Product]:
        return [Product(name="nut", price=5)]

    kind = TypeAdapter(list[Product])
    first = await cache.get("products:all", load, ttl=60, kind=kind)
    assert await cache.get("products:all", load, ttl=60, kind=kind) == first
    stored = await direct.command("GET", f"{namespace}:value:products:all")
    assert stored.partition(b"\n")[2] == b'[{"name":"nut","price":5}]'


@pytest.mark.parametrize("broken", [b"", b"\x80\x04K\x07.", b"1 2 3\n", b"\n\n", b'999999999999999 %b\n"no number"'])
async def test_what_cannot_be_read_is_loaded_anew(
    cache: Cache, load: Loader, direct: RedisClient, namespace: str, broken: bytes
) -> None:
    await cache.get("n:1", load, ttl=60, kind=INT)
    name = f"{namespace}:value:n:1"
    head = (await direct.command("GET", name)).partition(b"\n")[0]
    await direct.command("SET", name, broken.replace(b"%b", head.partition(b" ")[2]))
    load.value = 2
    assert await cache.get("n:1", load, ttl=60, kind=INT) == 2
    assert await cache.get("n:1", load, ttl=60, kind=INT) == 2
    assert load.calls == 2


async def test_while_a_loader_fails_the_last_value_is_given(
    cache: Cache, load: Loader, outcomes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    await cache.get("n:1", load, ttl=0.01, kind=INT)
    await asyncio.sleep(0.02)
    load.error = OSError("the database is gone")
    for _ in range(3):
        assert await cache.get("n:1", load, ttl=0.01, kind=INT) == 1
    assert load.calls == 4
    assert outcomes == ["miss", "stale", "stale", "stale"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once a minute
    load.error = None
    load.value = 2
    assert await cache.get("n:1", load, ttl=0.01, kind=INT) == 2


async def test_an_error_of_the_callers_is_not_hidden_by_the_last_value(cache: Cache, load: Loader) -> None:
    await cache.get("n:1", load, ttl=0.01, kind=INT)
    await asyncio.sleep(0.02)
    load.error = NotFound()
    with pytest.raises(NotFound):
        await cache.get("n:1", load, ttl=0.01, kind=INT)
