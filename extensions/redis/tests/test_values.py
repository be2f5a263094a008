"""Values: what a hit gives is what a miss gives. What JSON cannot carry is loaded each time, and never an error."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, computed_field, field_validator

from app.core.data.redis_client import RedisClient
from app.extensions.redis import Cache, cached
from app.extensions.redis.decorator import running
from tests.extensions.redis.conftest import MakeCache

pytestmark = pytest.mark.anyio


class Line(BaseModel):
    """A model that refuses what it does not know, and computes a field."""

    model_config = ConfigDict(extra="forbid")
    price: Decimal
    at: datetime
    tags: set[str] = Field(default_factory=set)

    @computed_field
    def total(self) -> Decimal:
        """Twice the price."""
        return self.price * 2


class Named(BaseModel):
    """A model that is read and written by other names."""

    name: str = Field(validation_alias="NAME", serialization_alias="Name")


class Goods(BaseModel):
    """A model with a default."""

    name: str
    stock: int = 0


class Special(Line):
    """A model with a field that its base does not declare."""

    secret: int = 1


class Cut(BaseModel):
    """A model that does not read all that it writes."""

    name: str

    @field_validator("name")
    @classmethod
    def cut(cls, value: str) -> str:
        """All but the first letter."""
        return value[1:]


class Picky(BaseModel):
    """A model whose own code fails on what another release has stored."""

    name: str

    @field_validator("name")
    @classmethod
    def look_up(cls, value: str) -> str:
        """Look it up."""
        return {"nut": "nut"}[value]


class Pair(NamedTuple):
    """A tuple with names."""

    one: int
    other: int


LINE = Line(price=Decimal("1.10"), at=datetime(2025, 1, 1, tzinfo=UTC), tags={"a", "b"})
NAN = float("nan")


def loader(value: Any, calls: list[object], seconds: float = 0.0) -> Callable[[], Awaitable[Any]]:
    """A loader that notes its calls."""

    async def load() -> Any:
        calls.append(value)
        await asyncio.sleep(seconds)
        return value

    return load


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Line, LINE),
        (list[Line], [LINE]),
        (dict[str, Line | None], {"a": LINE, "b": None}),
        (Named, Named(NAME="nut")),
        (tuple[int, ...], (1, 2)),
        (Pair, Pair(1, 2)),
        (frozenset[Decimal], frozenset({Decimal("1.0")})),
        (dict[str, object], {"a": [1, None, {"b": True}]}),
        (bytes, b"nut"),
        (float | None, None),
    ],
)
async def test_a_value_that_json_carries_is_a_hit(
    make_cache: MakeCache, outcomes: list[str], kind: Any, value: Any
) -> None:
    cache, other, calls = await make_cache(), await make_cache(), list[object]()
    read = [await each.get("a:1", loader(value, calls), ttl=60, kind=TypeAdapter(kind)) for each in (cache, other)]
    assert read == [value, value]
    assert [type(each) for each in read] == [type(value)] * 2
    assert outcomes == ["miss", "hit"]


UNSTORED = [
    (float, NAN),
    (float | None, NAN),
    (float | None, float("inf")),
    (list[float | None], [1.0, NAN]),
    (Line, Special(price=Decimal(1), at=LINE.at, secret=7)),
    (list[Line], [Special(price=Decimal(1), at=LINE.at, secret=7)]),
    (dict[str, object], {"a": (1, 2)}),
    (dict[str, object], {"a": datetime(2025, 1, 1, tzinfo=UTC)}),
    (object, Decimal("1.10")),
    (object, {1, 2}),
    (SecretStr, SecretStr("secret of mine")),
    (Cut, Cut(name="nut")),
    (Line, object()),
    (bytes, b"\xff"),
]


@pytest.mark.parametrize(("kind", "value"), UNSTORED)
async def test_a_value_that_json_would_change_is_not_stored(
    cache: Cache,
    outcomes: list[str],
    caplog: pytest.LogCaptureFixture,
    direct: RedisClient,
    namespace: str,
    kind: Any,
    value: Any,
) -> None:
    calls: list[object] = []
    for _ in range(3):
        assert await cache.get("reports:1", loader(value, calls), ttl=60, kind=TypeAdapter(kind)) is value
    assert len(calls) == 3
    assert outcomes == ["miss"] * 3
    assert await direct.command("EXISTS", f"{namespace}:value:reports:1") == 0
    assert len(caplog.records) == 1  # a minute
    assert "a value of the cache reports is not stored" in caplog.text
    assert "secret of mine" not in caplog.text


@pytest.mark.parametrize(("kind", "value"), [(Line, LINE), *UNSTORED])
async def test_callers_who_wait_for_a_value_get_it_whatever_it_is(cache: Cache, kind: Any, value: Any) -> None:
    calls: list[object] = []
    load, adapter = loader(value, calls, 0.05), TypeAdapter(kind)
    read = await asyncio.gather(*(cache.get("a:1", load, ttl=60, kind=adapter) for _ in range(10)))
    assert all(each is value or each == value for each in read)
    assert len(calls) == (1 if value is LINE else 10)


async def test_callers_who_wait_under_one_key_may_want_different_types(cache: Cache) -> None:
    one = cache.get("a:1", loader("nut", [], 0.1), ttl=60, kind=TypeAdapter(str))
    other = cache.get("a:1", loader(7, [], 0.1), ttl=60, kind=TypeAdapter(int))
    assert list(await asyncio.gather(one, other)) == ["nut", 7]


async def test_a_miss_gives_what_a_hit_gives(cache: Cache) -> None:
    async def load() -> Goods:
        return Goods(name="nut")

    read = [await cache.get("a:1", load, ttl=60, kind=TypeAdapter(Goods)) for _ in range(2)]
    assert read[0].model_dump(exclude_unset=True) == read[1].model_dump(exclude_unset=True)


async def test_a_cached_function_of_the_sample_s_kind_is_loaded_once(cache: Cache) -> None:
    calls: list[int] = []

    @cached(ttl=60, key="line:{number}")
    async def find(number: int) -> Line:
        calls.append(number)
        await asyncio.sleep(0.05)
        return LINE

    with running(cache):
        assert await asyncio.gather(*(find(1) for _ in range(10))) == [LINE] * 10
        assert await find(1) == LINE
    assert calls == [1]


@pytest.mark.parametrize("stored", [b'{"name":"pea"}', b'{"name":7}', b"[]", b'{"name":"nut"', b"\xff"])
async def test_an_entry_that_cannot_be_read_is_loaded_with_one_warning(
    cache: Cache,
    direct: RedisClient,
    namespace: str,
    outcomes: list[str],
    caplog: pytest.LogCaptureFixture,
    stored: bytes,
) -> None:
    calls, name, kind = list[object](), f"{namespace}:value:goods:1", TypeAdapter(Picky)
    load = loader(Picky(name="nut"), calls)
    for _ in range(3):
        await cache.get("goods:1", load, ttl=60, kind=kind)
        head = (await direct.command("GET", name)).partition(b"\n")[0]
        await direct.command("SET", name, head + b"\n" + stored)
    assert (await cache.get("goods:1", load, ttl=60, kind=kind)).name == "nut"
    assert outcomes == ["miss"] * 4
    assert [record.getMessage()[:41] for record in caplog.records] == ["an entry of the cache goods cannot be rea"]
    assert "pea" not in caplog.text
