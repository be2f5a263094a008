"""Keys: other arguments have another key, the same ones have the same key in every process, and owners can write it."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from itertools import combinations
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr, TypeAdapter

from app.extensions.redis import Cache, cached, key_for
from app.extensions.redis.decorator import running
from tests.extensions.redis.conftest import Loader

pytestmark = pytest.mark.anyio


class Colour(Enum):
    """A choice."""

    RED = "red"


class Size(StrEnum):
    """A choice that is text."""

    BIG = "big"
    SEVEN = "7"


class Rank(IntEnum):
    """A choice that is a number."""

    FIRST = 1


class Filter(BaseModel):
    """The filter of a list."""

    name: str | None = None
    hidden: str = Field("", repr=False)


@dataclass
class Place:
    """A place with two coordinates."""

    x: object
    y: object = field(default=0, repr=False)


class Blank:
    """An object that does not say what it is."""


DISTINCT: list[Any] = [
    *(None, "None", True, "True", False, "False"),
    *(0, "0", 1, "1", -1, "-1", 7, "7", 1.0, "1.0", Decimal(1), Decimal("1.5"), "<str>1", "'1'", "%31"),
    *("", " ", (), ("",), ("", ""), [], [""], {}, set(), frozenset(), "()", "[]"),
    *((1, 2), ("1", "2"), ("1,2",), [1, 2], {1, 2}, ((1,), 2), ((1, 2),), (1, (2,)), "(1, 2)"),
    *({"a": 1}, {"a": "1"}, {"a": 1, "b": 2}, {"a,1": 2}),
    *(b"a", "a", "b'a'", Colour.RED, "Colour.RED", "red"),
    *(date(2025, 1, 1), "2025-01-01", datetime(2025, 1, 1, tzinfo=UTC), UUID(int=7), str(UUID(int=7))),
    *(SecretStr("a"), SecretStr("b"), SecretBytes(b"a"), "**********"),
    *(Filter(), Filter(name="None"), Filter(hidden="a"), Filter(hidden="b"), Place(1), Place("1"), Place(1, 2)),
]


def test_other_arguments_have_another_key() -> None:
    counted = Counter(key_for("a:{x}", x=value) for value in DISTINCT)
    assert [key for key, number in counted.items() if number > 1] == []


@pytest.mark.parametrize(
    "template", ["a:{x}:{y}", "a:{x}-{y}", "a:{x}{y}", "a:{x}_{y}", "a:{x}.{y}:b", "a:{x}%3A{y}", "{x}b{y}", "{x}~{y}"]
)
def test_no_argument_can_make_the_key_of_others(template: str) -> None:
    values = [1, 11, "", "a", "aa", "a-a", "a_a", "a.a", "a:a", "a%3Aa", "-", "-a", "ab", "b", "bb", "a~a", "<>", "a<>"]
    keys = [key_for(template, x=x, y=y) for x in values for y in values]
    assert len(keys) == len(set(keys))


def test_keys_of_text_and_integers_are_what_owners_write() -> None:
    assert key_for("product:{product_id}", product_id=7) == "product:7"
    assert key_for("product:{product_id}", product_id=-7) == "product:-7"
    assert key_for("price:{shop}:{sku}", shop="main street", sku="A-7_x.y") == "price:main%20street:A-7_x.y"
    assert key_for("price:{sku}", sku="007") == "price:007"
    assert key_for("flag:{on}:{of}", on=True, of=None) == "flag:True:None"
    assert key_for("price:{sku}", sku="7") == "price:<str>7"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({1, 2, 3}, {3, 2, 1}),
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        (Size.BIG, "big"),
        (Size.SEVEN, "7"),
        (Rank.FIRST, 1),
        (Filter(), Filter(name=None)),
        (Place({"a": 1, "b": 2}), Place({"b": 2, "a": 1})),
        (SecretStr("a"), SecretStr("a")),
    ],
)
def test_arguments_that_mean_the_same_share_a_key(one: object, other: object) -> None:
    assert key_for("a:{x}", x=one) == key_for("a:{x}", x=other)


def test_a_set_has_the_same_key_in_every_process() -> None:
    argument = "{'a', 'b', 'c', ('d', frozenset('ef'))}"
    program = "import sys; from app.extensions.redis import key_for; print(key_for('a:{x}', x=eval(sys.argv[1])))"
    keys = {
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", program, argument],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            cwd=Path(__file__).parents[3],
            check=True,
            capture_output=True,
        ).stdout
        for seed in range(4)
    }
    assert len(keys) == 1


async def test_calls_that_mean_the_same_share_a_key(cache: Cache, load: Loader) -> None:
    @cached(ttl=60, key="sum:{x}:{y}")
    async def add(x: int, y: int | None = None) -> int:
        del x, y
        return await load()

    with running(cache):
        for call in (add(1), add(x=1), add(1, None), add(y=None, x=1)):
            await call
    assert load.calls == 1


@pytest.mark.parametrize("value", [Blank(), [Blank()], lambda: 1, {"a": iter(())}])
def test_an_argument_that_does_not_say_what_it_is_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no text that could be in a key"):
        key_for("a:{x}", x=value)


@pytest.mark.parametrize(
    "value", ["7", 7, "None", Decimal("7.5"), UUID(int=7), Size.SEVEN, "nut", date(2025, 1, 1)], ids=repr
)
@pytest.mark.parametrize("how", ["key", "prefix", "tag"])
async def test_a_key_that_an_owner_wrote_is_forgotten_whatever_its_type_was(
    cache: Cache, load: Loader, value: object, how: str
) -> None:
    async def read() -> int:
        key = key_for("price:{sku}:{shop}", sku=value, shop="7")
        return await cache.get(key, load, ttl=60, kind=TypeAdapter(int), tags=[key_for("sku:{sku}", sku=value)])

    await read()
    load.value = 2
    forget = {
        "key": lambda: cache.invalidate(f"price:{value}:7"),
        "prefix": lambda: cache.invalidate_prefix(f"price:{value}:"),
        "tag": lambda: cache.invalidate_tag(f"sku:{value}"),
    }
    await forget[how]()
    assert await read() == 2


def test_distinct_arguments_are_distinct() -> None:
    """The first test proves nothing about keys if two of its arguments are equal."""
    same = [(one, other) for one, other in combinations(DISTINCT, 2) if type(one) is type(other) and one == other]
    assert same == []
