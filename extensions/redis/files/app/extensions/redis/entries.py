"""What is stored: JSON below a head that tells until when it is fresh and which invalidations it has seen."""

import time
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

T = TypeVar("T")


class Entry(NamedTuple, Generic[T]):
    """A value as it was found. One that is not fresh is only given where nothing else is."""

    value: T
    fresh: bool


def key_for(template: str, **values: object) -> str:
    """The key of a value: `key_for("product:{product_id}", product_id=7)` is product:7.

    What is put in is quoted, so that no value of a caller's can make the key of another one.
    """
    return template.format(**{name: quote(str(value), safe="") for name, value in values.items()})


def groups(key: str, tags: Sequence[str]) -> Iterator[str]:
    """Everything that an entry is invalidated with: all, each prefix up to a colon, the key itself and its tags."""
    yield prefix_group("")
    for index, letter in enumerate(key):
        if letter == ":":
            yield prefix_group(key[: index + 1])
    yield f"key={key}"
    for tag in tags:
        yield f"tag={tag}"


def prefix_group(prefix: str) -> str:
    """The group of all keys that begin so.

    Raises:
        ValueError: the prefix ends inside a word.
    """
    if prefix and not prefix.endswith(":"):
        raise ValueError(f"a prefix ends with a colon, and {prefix!r} does not: try {prefix + ':'!r}")
    return f"prefix={prefix}"


def encode(value: T, kind: TypeAdapter[T], *, ttl: float, versions: Sequence[bytes | None]) -> bytes:
    """The entry of a value that is fresh for `ttl` seconds."""
    return b"%d %b\n%b" % ((time.time() + ttl) * 1000, b" ".join(filter(None, versions)), kind.dump_json(value))


def decode(raw: bytes | None, kind: TypeAdapter[T], versions: Sequence[bytes | None]) -> Entry[T] | None:
    """The value, unless there is none, or it has been invalidated, or this release cannot read it."""
    if raw is None or None in versions:
        return None
    head, _, body = raw.partition(b"\n")
    until, *seen = head.split(b" ")
    if seen != versions:
        return None
    try:
        return Entry(kind.validate_json(body), fresh=time.time() * 1000 < int(until))
    except ValueError:
        return None
