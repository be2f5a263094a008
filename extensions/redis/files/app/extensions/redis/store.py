"""The store: what the cache asks of the server, each a single round trip."""

from collections.abc import Sequence
from typing import NamedTuple

from app.extensions.redis.connection import Connection, Part, milliseconds
from app.extensions.redis.keys import groups

# Take the lock, and make the versions that are missing; or see what the holder of the lock has done meanwhile.
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
# Store the value if there is one, and give the lock back unless it is somebody else's by now.
GIVE = """
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class Place(NamedTuple):
    """Where a value is, with the lock under which it is loaded and the versions that it depends on."""

    lock: str
    value: str
    versions: tuple[str, ...]


class Found(NamedTuple):
    """What is there. A version that is missing voids the value."""

    raw: bytes | None
    versions: Sequence[bytes | None]


class Store:
    """Values and versions below one namespace.

    An invalidation deletes the version of a group, and every value that names it is void, whatever their number, and
    also those that are only being loaded.
    """

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._take = connection.script(TAKE)
        self._give = connection.script(GIVE)

    def place(self, key: str, tags: Sequence[str]) -> Place:
        """Where the value of a key is."""
        versions = tuple(self._version(group) for group in groups(key, tags))
        return Place(f"{self._namespace}:loading:{key}", f"{self._namespace}:value:{key}", versions)

    async def read(self, place: Place) -> Found:
        """See what is there."""
        raw, *versions = await self._connection.command("MGET", place.value, *place.versions)
        return Found(raw, versions)

    async def take(self, place: Place, token: str, *, loading: float, lifetime: float) -> tuple[bool, Found]:
        """Try to take the lock for `loading` seconds, and see what is there. The versions then live for `lifetime`."""
        arguments: list[Part] = [token, milliseconds(loading), milliseconds(lifetime)]
        taken, raw, *versions = await self._take(_all(place), arguments)
        return bool(taken), Found(raw, versions)

    async def give(self, place: Place, token: str, entry: bytes = b"", *, lifetime: float = 0.0) -> None:
        """Store an entry, if there is one, and give the lock back."""
        await self._give(_all(place), [token, entry, milliseconds(lifetime)])

    async def forget(self, forgotten: Sequence[str]) -> None:
        """Void every value of these groups."""
        await self._connection.command("DEL", *map(self._version, forgotten))

    def _version(self, group: str) -> str:
        return f"{self._namespace}:version:{group}"


def _all(place: Place) -> list[str]:
    return [place.lock, place.value, *place.versions]
