"""The cache: a value is loaded once, however many ask for it, and an outage of the server only makes it slower."""

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic, perf_counter
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import Depends, Request
from pydantic import TypeAdapter

from app.core.errors import ServiceError
from app.core.outage import Away, Seldom
from app.core.telemetry import CacheRead, emit
from app.extensions.redis.connection import Connection
from app.extensions.redis.entries import Entry, decode, encode
from app.extensions.redis.flights import Flight, Flights
from app.extensions.redis.keys import key_group, prefix_group, tag_group
from app.extensions.redis.settings import RedisSettings
from app.extensions.redis.store import Place, Store

T = TypeVar("T")
Loaded = tuple[Any, str]
"""A value, and how it was come by."""
logger = logging.getLogger(__name__)

JITTER = 0.1
"""What is stored together does not expire together: up to a tenth of its time is taken off."""
POLL = 0.05
"""Seconds between two looks whether another process has loaded a value, on average."""


class Wanted(NamedTuple):
    """One value, and how it is made."""

    place: Place
    load: Callable[[], Awaitable[Any]]
    kind: TypeAdapter[Any]
    ttl: float


class Cache:
    """Values by key, in a server that all processes share. Without a server each read goes to its loader."""

    def __init__(self, connection: Connection | None, settings: RedisSettings, namespace: str) -> None:
        self._store = Store(connection, namespace) if connection else None
        self._settings = settings
        self._flights = Flights[Loaded]()
        self._forgotten = 0
        self._missed = False
        self._unsure: list[tuple[Place, str]] = []
        self._due = Seldom()
        if connection:
            connection.on_return.append(self._catch_up)

    async def get(
        self, key: str, load: Callable[[], Awaitable[T]], *, ttl: float, kind: TypeAdapter[T], tags: Sequence[str] = ()
    ) -> T:
        """The value of a key (see `key_for`), from the cache or else from `load`, which is called once for all.

        Args:
            key: its first part, up to a colon, names the cache in metrics.
            load: makes the value. While it fails, the last value is given for some time longer; but an error that is
                the caller's (a 4xx) is raised.
            ttl: seconds until the value is loaded anew.
            kind: what the value is, so that it can be JSON: `TypeAdapter(Product)`.
            tags: names under which it can be invalidated together with others.
        """
        if self._store is None:
            return await load()
        started, outcome = perf_counter(), "miss"
        try:
            wanted = Wanted(self._store.place(key, tags), load, kind, ttl)
            value, outcome = await self._get(self._store, wanted)
        finally:
            emit(CacheRead(key.partition(":")[0], outcome, perf_counter() - started))
        result: T = value
        return result

    async def invalidate(self, *keys: str) -> None:
        """Forget values. Call it after the commit: before it, others would load the old value once more."""
        await self._forget([key_group(key) for key in keys])

    async def invalidate_prefix(self, prefix: str) -> None:
        """Forget every value whose key begins so, up to a colon; an empty prefix is all of them.

        Raises:
            ValueError: the prefix ends inside a word.
        """
        await self._forget([prefix_group(prefix)])

    async def invalidate_tag(self, *tags: str) -> None:
        """Forget every value that was stored with one of these tags."""
        await self._forget([tag_group(tag) for tag in tags])

    async def _get(self, store: Store, wanted: Wanted) -> Loaded:
        try:
            found = await store.read(wanted.place)
        except Away:
            loaded, others = await self._flights.join(wanted.place.value, [self._forgotten], self._without(wanted))
        else:
            last: Entry[Any] | None = decode(found.raw, wanted.kind, found.versions)
            if last and last.fresh:
                return last.value, "hit"
            loaded, others = await self._flights.join(
                wanted.place.value, found.versions, lambda flight: self._load(store, wanted, flight)
            )
        value, outcome = loaded
        return (wanted.kind.validate_json(wanted.kind.dump_json(value)) if others else value), outcome

    async def _load(self, store: Store, wanted: Wanted, flight: Flight[Loaded]) -> Loaded:
        """Load it under the lock that all processes share, or take what another one has loaded."""
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
            except Away:
                self._unsure.append((wanted.place, token))
                return await self._without(wanted)(flight)
            last: Entry[Any] | None = decode(found.raw, wanted.kind, found.versions)
            fresh = last is not None and last.fresh
            if taken or fresh or monotonic() >= give_up:
                break
            await asyncio.sleep(POLL * random.uniform(0.5, 1.5))  # noqa: S311  # so that not all ask at once
        flight.versions = found.versions
        if not taken:  # another process has loaded it, or takes too long over it
            return (last.value, "hit") if last and fresh else (await wanted.load(), "miss")
        entry = b""
        try:
            if last and fresh:
                return last.value, "hit"
            value = await wanted.load()
            ttl = wanted.ttl * random.uniform(1 - JITTER, 1)  # noqa: S311  # no secret
            entry = encode(value, wanted.kind, ttl=ttl, versions=found.versions)
        except Exception as error:
            if last is None or (isinstance(error, ServiceError) and error.status < 500):
                raise
            if self._due():
                logger.warning("%s could not be loaded, so its last value is given: %r", wanted.place.value, error)
            return last.value, "stale"
        else:
            return value, "miss"
        finally:
            try:
                await store.give(wanted.place, token, entry, lifetime=lifetime)
            except Away:
                self._unsure.append((wanted.place, token))

    def _without(self, wanted: Wanted) -> Callable[[Flight[Loaded]], Awaitable[Loaded]]:
        async def load(flight: Flight[Loaded]) -> Loaded:
            flight.versions = [self._forgotten]
            return await wanted.load(), "error"

        return load

    async def _forget(self, forgotten: Sequence[str]) -> None:
        self._forgotten += 1
        if self._store is None or not forgotten:
            return
        try:
            await self._store.forget(forgotten)
        except Away:
            self._missed = True

    async def _catch_up(self) -> None:
        """What was to be forgotten during an outage is forgotten now, and to be sure all the rest with it.

        A server that was frozen may have given us locks meanwhile, which nobody waits for any more.
        """
        while self._store and self._unsure:
            await self._store.give(*self._unsure[-1])
            self._unsure.pop()
        while self._store and self._missed:
            self._missed = False
            try:
                await self._store.forget([prefix_group("")])
            except BaseException:
                self._missed = True
                raise


async def current_cache(request: Request) -> Cache:
    """The cache of the running service."""
    cache: Cache = request.state.cache
    return cache


CacheDep = Annotated[Cache, Depends(current_cache)]
"""`await cache.get(...)` and `await cache.invalidate(...)` in a route."""
