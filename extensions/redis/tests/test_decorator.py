"""The decorator: a function's results, by its arguments."""

from typing import Any

import pytest
from pydantic import BaseModel

from app.extensions.redis import Cache, cached, key_for
from app.extensions.redis.decorator import running
from tests.conftest import Start

pytestmark = pytest.mark.anyio


class Product(BaseModel):
    """Something to keep."""

    name: str
    price: int


async def test_a_function_keeps_its_results_by_its_arguments(cache: Cache) -> None:
    calls: list[Any] = []

    @cached(ttl=60, key="double:{number}", tags=["of:{whose}"])
    async def double(database: object, number: str, *, whose: str = "me") -> dict[str, Product]:
        assert database is not None
        calls.append((number, whose))
        return {number: Product(name=number * 2, price=1)}

    assert await double(object(), "a") == {"a": Product(name="aa", price=1)}
    assert calls == [("a", "me")]  # outside a service it is simply called
    with running(cache):
        for _ in range(2):
            assert await double(object(), "a") == {"a": Product(name="aa", price=1)}
            assert await double(object(), number="b:c") == {"b:c": Product(name="b:cb:c", price=1)}
        assert len(calls) == 3
        await cache.invalidate_tag("of:me")
        await double(object(), "a")
        await cache.invalidate(key_for("double:{number}", number="b:c"))
        await double(object(), "b:c")
    assert len(calls) == 5


def test_a_value_with_a_colon_makes_no_key_of_another() -> None:
    assert key_for("a:{x}:{y}", x="1:2", y="3") != key_for("a:{x}:{y}", x="1", y="2:3")


def test_a_key_names_arguments_and_a_function_says_what_it_returns() -> None:
    with pytest.raises(TypeError, match="has no argument 'nothing'"):

        @cached(ttl=60, key="a:{nothing}")
        async def one(x: int) -> int:
            return x

    with pytest.raises(TypeError, match="has no return annotation"):

        @cached(ttl=60, key="a:{x}")
        async def other(x: int):  # type: ignore[no-untyped-def]  # that is the point
            return x


async def test_a_service_that_is_opened_with_the_fixture_caches(start: Start, redis_settings: dict[str, str]) -> None:
    calls: list[int] = []

    @cached(ttl=60, key="double:{number}")
    async def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    await start(redis=redis_settings)
    assert [await double(2), await double(2)] == [4, 4]
    assert calls == [2]
