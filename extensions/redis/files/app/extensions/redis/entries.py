"""What is stored: JSON below a head that tells until when it is fresh and which invalidations it has seen."""

import time
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


class Entry(NamedTuple, Generic[T]):
    """A value as it was found. One that is not fresh is only given where nothing else is."""

    value: T
    fresh: bool


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
