"""The values in Redis: settings, the format of an entry, and each request to the server as one round trip."""

import time
from collections.abc import Sequence
from typing import Annotated, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from app.core.data.redis_client import Part, RedisClient, check_url
from app.core.settings import Group, address, taken_by
from app.extensions.redis.keys import groups

T = TypeVar("T")

# Take the lock and create missing versions, or read what the holder of the lock has stored.
TAKE = """
local taken = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
local found = {taken and 1 or 0, redis.call('GET', KEYS[2])}
for index = 3, #KEYS do
  if taken and not redis.call('SET', KEYS[index], ARGV[1], 'NX', 'PX', ARGV[3])
    and redis.call('PTTL', KEYS[index]) < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[index], ARGV[3])
  end
  found[index] = redis.call('GET', KEYS[index])
end
return found
"""
# Store the value if there is one, and release the lock if it is still held.
GIVE = """
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class RedisSettings(Group):
    """The place of the server, and the limits of waiting for it."""

    group: ClassVar[str] = "redis"
    url: Annotated[str | None, address({"redis", "rediss"}, "redis://host:6379/0"), taken_by(check_url)] = Field(
        None,
        repr=False,
        description="The server: redis://:password@host:6379/0; unset: no cache and no locks.",
    )
    namespace: str | None = Field(
        None,
        description="The prefix of all keys; unset: the service's name.",
    )
    timeout: float = Field(0.3, gt=0, description="Seconds for a connection or a command.")
    connections: int = Field(10, ge=1, description="The most connections of a process.")
    stale: float = Field(600.0, ge=0, description="Seconds that an expired value is kept, in case its loader fails.")
    loading_timeout: float = Field(10.0, gt=0, description="Seconds until another process loads too.")


class NotEqual(Exception):
    """A value that comes back from JSON as another one."""


class Entry(NamedTuple, Generic[T]):
    """A stored value. One that is not fresh is used only if the loader fails."""

    value: T
    json: bytes
    fresh: bool


def from_json(json: bytes, kind: TypeAdapter[T]) -> T:
    return kind.validate_json(json, by_name=True, by_alias=False)


def through_json(value: T, kind: TypeAdapter[T]) -> tuple[T, bytes]:
    """Return the value as it comes back from JSON, and this JSON. Types of the owner may raise any exception."""
    # `round_trip` leaves out computed fields, and names without aliases are read whatever the aliases are.
    json = kind.dump_json(value, round_trip=True, by_alias=False, warnings=False)
    copy = from_json(json, kind)
    if copy != value:
        raise NotEqual
    return copy, json


def reason(error: Exception) -> str:
    """Return the place and kind of an error for the log, without the value."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{first['type']} at {'.'.join(map(str, first['loc'])) or 'its top'}"
    return type(error).__name__


def encode(json: bytes, *, ttl: float, versions: Sequence[bytes | None]) -> bytes:
    """Return the entry of a value that is fresh for `ttl` seconds."""
    return b"%d %b\n%b" % ((time.time() + ttl) * 1000, b" ".join(filter(None, versions)), json)


def decode(raw: bytes | None, kind: TypeAdapter[T], versions: Sequence[bytes | None]) -> Entry[T] | None:
    """Return the value, or None if there is none or it was invalidated. An unreadable one may raise any exception."""
    if raw is None or None in versions:
        return None
    head, _, json = raw.partition(b"\n")
    until, *seen = head.split(b" ")
    if seen != versions:
        return None
    return Entry(from_json(json, kind), json, fresh=time.time() * 1000 < int(until))


def milliseconds(seconds: float) -> int:
    """Return a lifetime for the server. It refuses 0, and a refusal counts as an outage."""
    return max(1, int(seconds * 1000))


class Place(NamedTuple):
    """The keys of a value, of the lock of its loader, and of the versions that it depends on."""

    lock: str
    value: str
    versions: tuple[str, ...]


class Found(NamedTuple):
    """An entry as stored. A missing version makes it void."""

    raw: bytes | None
    versions: Sequence[bytes | None]


class Store:
    """The values and versions of one namespace.

    An invalidation deletes the version of a group. Then every value with that version is void, also one that is being
    loaded.
    """

    def __init__(self, connection: RedisClient, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._take = connection.script(TAKE)
        self._give = connection.script(GIVE)

    def place(self, key: str, tags: Sequence[str]) -> Place:
        versions = tuple(self._version(group) for group in groups(key, tags))
        return Place(f"{self._namespace}:loading:{key}", f"{self._namespace}:value:{key}", versions)

    async def read(self, place: Place) -> Found:
        raw, *versions = await self._connection.command("MGET", place.value, *place.versions)
        return Found(raw, versions)

    async def take(self, place: Place, token: str, *, loading: float, lifetime: float) -> tuple[bool, Found]:
        """Try to take the lock for `loading` seconds, and read the entry. The versions then live for `lifetime`."""
        arguments: list[Part] = [token, milliseconds(loading), milliseconds(lifetime)]
        taken, raw, *versions = await self._take(_all(place), arguments)
        return bool(taken), Found(raw, versions)

    async def give(self, place: Place, token: str, entry: bytes = b"", *, lifetime: float = 0.0) -> None:
        """Store an entry, if there is one, and release the lock."""
        await self._give(_all(place), [token, entry, milliseconds(lifetime)])

    async def forget(self, forgotten: Sequence[str]) -> None:
        """Make every value of these groups void."""
        await self._connection.command("DEL", *map(self._version, forgotten))

    def _version(self, group: str) -> str:
        return f"{self._namespace}:version:{group}"


def _all(place: Place) -> list[str]:
    return [place.lock, place.value, *place.versions]
