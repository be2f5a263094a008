"""Entries: JSON below a head that tells until when it is fresh and which invalidations it has seen."""

import time
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class NotEqual(Exception):
    """A value comes back from JSON as another one."""


class Entry(NamedTuple, Generic[T]):
    """A value as it was found. One that is not fresh is only given where nothing else is."""

    value: T
    json: bytes
    fresh: bool


def from_json(json: bytes, kind: TypeAdapter[T]) -> T:
    """The value of its JSON."""
    return kind.validate_json(json, by_name=True, by_alias=False)


def through_json(value: T, kind: TypeAdapter[T]) -> tuple[T, bytes]:
    """The value as it comes back from JSON, and this JSON.

    Raises:
        NotEqual: it comes back as another value.
        Exception: a type of the owner's cannot be written or read.
    """
    # `round_trip` leaves out computed fields, and names without aliases are read whatever the aliases are.
    json = kind.dump_json(value, round_trip=True, by_alias=False, warnings=False)
    copy = from_json(json, kind)
    if copy != value:
        raise NotEqual
    return copy, json


def reason(error: Exception) -> str:
    """What to log of an error: where and of which kind it is, and not the value."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{first['type']} at {'.'.join(map(str, first['loc'])) or 'its top'}"
    return type(error).__name__


def encode(json: bytes, *, ttl: float, versions: Sequence[bytes | None]) -> bytes:
    """The entry of a value that is fresh for `ttl` seconds."""
    return b"%d %b\n%b" % ((time.time() + ttl) * 1000, b" ".join(filter(None, versions)), json)


def decode(raw: bytes | None, kind: TypeAdapter[T], versions: Sequence[bytes | None]) -> Entry[T] | None:
    """The value, unless there is none, or it has been invalidated.

    Raises:
        Exception: this release cannot read it.
    """
    if raw is None or None in versions:
        return None
    head, _, json = raw.partition(b"\n")
    until, *seen = head.split(b" ")
    if seen != versions:
        return None
    return Entry(from_json(json, kind), json, fresh=time.time() * 1000 < int(until))
