"""The cache: concurrent misses load a value once, and during an outage each read calls its loader."""

import asyncio
import logging
import os
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic, perf_counter
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import Depends
from fastapi.requests import HTTPConnection
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.data.redis_client import BackendUnavailable, RedisClient
from app.core.database import once_committed
from app.core.errors import ServiceError
from app.core.observability.throttle import Throttle
from app.core.telemetry import describe, emit
from app.extensions.redis import store as storage
from app.extensions.redis.keys import key_group, prefix_group, tag_group
from app.extensions.redis.single_flight import Flight, SingleFlight

T = TypeVar("T")
logger = logging.getLogger(__name__)

JITTER = 0.1
"""The random share of a lifetime that is taken off, so that values stored together do not expire together."""
POLL = 0.05
"""Seconds between two looks for a value that another process loads, on average."""
MILLISECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class CacheRead(NamedTuple):
    """A read of a cache. `outcome` is hit, miss, stale or error."""

    cache: str
    outcome: str
    duration: float


describe(
    CacheRead,
    log=("debug", "cache read"),
    counter=("cache_reads_total", "Reads of caches.", {"cache": "cache", "outcome": "outcome"}),
    histogram=("cache_read_duration_seconds", "Time of a read, loading included.", {"cache": "cache"}, MILLISECONDS),
    span=("cache.get", "{0.cache}"),
)


class Wanted(NamedTuple):
    """A value to read, and its loader."""

    cache: str
    place: storage.Place
    load: Callable[[], Awaitable[Any]]
    kind: TypeAdapter[Any]
    ttl: float


class Loaded(NamedTuple):
    """A value, its JSON if that represents it, and the outcome of the read."""

    value: Any
    json: bytes | None
    outcome: str


class Cache:
    """Values by key, in a server that all processes share. Without a server each read calls its loader."""

    def __init__(self, connection: RedisClient | None, settings: storage.RedisSettings, namespace: str) -> None:
        self._store = storage.Store(connection, namespace) if connection else None
        self._settings = settings
        self._flights = SingleFlight[Loaded]()
        self._forgotten = 0
        self._missed = 1  # invalidations that the server may have missed: at the start, those of the previous process
        self._caught_up = 0
        self._catching_up = asyncio.Lock()
        self._unsure: list[tuple[storage.Place, str]] = []
        self._may_warn = defaultdict[str, Throttle](Throttle)
        if connection:
            connection.on_return.append(self._give_back)
            connection.on_return.append(self._catch_up)

    async def start(self) -> None:
        """Make all values void, now or when the server answers: the last process may have missed an invalidation."""
        with suppress(BackendUnavailable):
            await self._catch_up()

    async def get(
        self, key: str, load: Callable[[], Awaitable[T]], *, ttl: float, kind: TypeAdapter[T], tags: Sequence[str] = ()
    ) -> T:
        """Return the value of a key (see `key_for`) from the cache, or from `load`, called once for all callers.

        Do not call it in a transaction that `load` reads in: its data may never be committed. A value that does not
        come back equal from JSON is not stored, so that a hit and a miss never differ.

        Args:
            key: its first part, up to a colon, names the cache in metrics.
            load: makes the value. If it fails, the last value is used for some time; an error of the caller (a 4xx)
                is raised.
            ttl: seconds until the value is loaded again.
            kind: the type of the value, for JSON: `TypeAdapter(Product)`.
            tags: names under which values are invalidated together.
        """
        if self._store is None:
            return await load()
        started, outcome, name = perf_counter(), "miss", key.partition(":")[0]
        try:
            wanted = Wanted(name, self._store.place(key, tags), load, kind, ttl)
            value: T
            value, _, outcome = await self._get(self._store, wanted)
            return value
        finally:
            emit(CacheRead(name, outcome, perf_counter() - started))

    async def invalidate(self, *keys: str, within: AsyncSession | None = None) -> None:
        """Invalidate the values of these keys.

        `within` is the transaction that changes them: they are invalidated right after its commit, also if the outcome
        of that is unknown. Without it, call this after the commit: before, others would load the old value again.
        """
        await self._forget([key_group(key) for key in keys], within)

    async def invalidate_prefix(self, prefix: str, *, within: AsyncSession | None = None) -> None:
        """Invalidate every value whose key has this prefix, which ends with a colon; an empty prefix is all values."""
        await self._forget([prefix_group(prefix)], within)

    async def invalidate_tag(self, *tags: str, within: AsyncSession | None = None) -> None:
        """Invalidate every value that was stored with one of these tags."""
        await self._forget([tag_group(tag) for tag in tags], within)

    async def _get(self, store: storage.Store, wanted: Wanted) -> Loaded:
        try:
            await self._catch_up()
            found = await store.read(wanted.place)
        except BackendUnavailable:
            loaded, others = await self._flights.join(
                wanted.place.value, [self._forgotten], lambda flight: self._load_without(wanted, flight)
            )
        else:
            last = self._decode(found, wanted)
            if last and last.fresh:
                return Loaded(last.value, last.json, "hit")
            loaded, others = await self._flights.join(
                wanted.place.value, found.versions, lambda flight: self._load(store, wanted, flight)
            )
        return loaded._replace(value=await self._copy(loaded, wanted)) if others else loaded

    async def _load(self, store: storage.Store, wanted: Wanted, flight: Flight[Loaded]) -> Loaded:
        """Load it under the lock that all processes share, or take the value that another process has loaded."""
        token = os.urandom(8).hex()
        lifetime = wanted.ttl + self._settings.stale
        give_up = monotonic() + self._settings.loading_timeout
        while True:
            try:
                taken, found = await store.take(
                    wanted.place,
                    token,
                    loading=self._settings.loading_timeout,
                    lifetime=lifetime + self._settings.loading_timeout,
                )
            except BackendUnavailable:
                self._unsure.append((wanted.place, token))
                return await self._load_without(wanted, flight)
            last = self._decode(found, wanted)
            fresh = last is not None and last.fresh
            if taken or fresh or monotonic() >= give_up:
                break
            await asyncio.sleep(POLL * random.uniform(0.5, 1.5))  # noqa: S311  # so that not all ask at once
        flight.versions = found.versions
        entry = b""
        try:
            if last and fresh:  # another process has loaded it
                return Loaded(last.value, last.json, "hit")
            loaded = await self._call(wanted, "miss")
            if taken and loaded.json is not None:
                ttl = wanted.ttl * random.uniform(1 - JITTER, 1)  # noqa: S311  # no secret
                entry = storage.encode(loaded.json, ttl=ttl, versions=found.versions)
        except Exception as error:
            if last is None or (isinstance(error, ServiceError) and error.status < 500):
                raise
            self._warn("%s could not be loaded, so its last value is given: %s", wanted.place.value, repr(error))
            return Loaded(last.value, last.json, "stale")
        else:
            return loaded
        finally:
            if taken:
                try:
                    await store.give(wanted.place, token, entry, lifetime=lifetime)
                except BackendUnavailable:
                    self._unsure.append((wanted.place, token))

    async def _load_without(self, wanted: Wanted, flight: Flight[Loaded]) -> Loaded:
        flight.versions = [self._forgotten]
        return await self._call(wanted, "error")

    async def _call(self, wanted: Wanted, outcome: str) -> Loaded:
        """Call the loader, and return what a hit would return, or the value itself if JSON does not represent it."""
        value, json = await wanted.load(), None
        try:
            value, json = storage.through_json(value, wanted.kind)
        except Exception as error:  # noqa: BLE001  # types of the owner may raise anything
            self._warn(
                "a value of the cache %s is not stored, JSON cannot carry it: %s", wanted.cache, storage.reason(error)
            )
        return Loaded(value, json, outcome)

    async def _copy(self, loaded: Loaded, wanted: Wanted) -> Any:
        """Return a copy for a caller that has waited. A value that cannot be copied is loaded by each caller."""
        if loaded.json is not None:
            with suppress(Exception):  # the caller wants another type under the same key
                return storage.from_json(loaded.json, wanted.kind)
        return await wanted.load()

    def _decode(self, found: storage.Found, wanted: Wanted) -> storage.Entry[Any] | None:
        try:
            return storage.decode(found.raw, wanted.kind, found.versions)
        except Exception as error:  # noqa: BLE001  # types of the owner may raise anything
            self._warn(
                "an entry of the cache %s cannot be read, so it is loaded: %s", wanted.cache, storage.reason(error)
            )
            return None

    def _warn(self, message: str, name: str, error: str) -> None:
        if self._may_warn[message]():
            logger.warning(message, name, error)

    async def _forget(self, forgotten: Sequence[str], within: AsyncSession | None) -> None:
        async def forget() -> None:
            self._forgotten += 1
            if self._store is None or not forgotten:
                return
            try:
                await self._store.forget(forgotten)
            except BaseException as error:
                self._missed += 1
                if not isinstance(error, BackendUnavailable):  # cancelled, perhaps after it was sent
                    raise

        if within is None:
            await forget()
        else:
            once_committed(within, forget, if_unknown=forget)

    async def _catch_up(self) -> None:
        """Make all values void if the server may have missed an invalidation."""
        if self._store is None or self._caught_up == self._missed:
            return
        async with self._catching_up:
            while self._caught_up != self._missed:
                missed = self._missed
                await self._store.forget([prefix_group("")])
                self._caught_up = missed

    async def _give_back(self) -> None:
        """Release the locks that a frozen server may have given to calls that are gone."""
        while self._store and self._unsure:
            await self._store.give(*self._unsure[-1])
            self._unsure.pop()


async def current_cache(request: HTTPConnection) -> Cache:
    """Return the cache of the running service."""
    cache: Cache = request.state.cache
    return cache


CacheDep = Annotated[Cache, Depends(current_cache)]
"""`await cache.get(...)` and `await cache.invalidate(...)` in a route."""
