"""Redis: a cache that all processes share, and locks between them."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from app.core.component import Check, Component, State
from app.core.data.redis_client import RedisClient
from app.core.settings import ServiceSettings, Settings
from app.extensions.redis.cache import Cache, CacheDep, CacheRead
from app.extensions.redis.decorator import cached, running
from app.extensions.redis.keys import key_for
from app.extensions.redis.locks import Locks, LocksDep, LockTaken, LockUnavailable
from app.extensions.redis.store import RedisSettings

__all__ = [
    "Cache",
    "CacheDep",
    "CacheRead",
    "LockTaken",
    "LockUnavailable",
    "Locks",
    "LocksDep",
    "RedisSettings",
    "cached",
    "component",
    "key_for",
]

logger = logging.getLogger(__name__)


def connect(settings: RedisSettings) -> RedisClient:
    """Return a client of the server. Nothing is connected yet."""
    return RedisClient(
        settings.url or "",
        timeout=settings.timeout,
        connections=settings.connections,
        server="redis",
        meanwhile="the service works without it",
    )


def component(settings: Settings) -> Component:
    """Provide the cache and the locks. The service also starts while the server does not answer."""
    mine = settings.of(RedisSettings)
    namespace = mine.namespace or settings.of(ServiceSettings).name
    client = connect(mine) if mine.url else None
    cache, locks = Cache(client, mine, namespace), Locks(client, namespace)

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        if client is None:
            logger.warning("REDIS__URL is not set: nothing is cached")
        await cache.start()
        try:
            with running(cache):
                yield {"cache": cache, "locks": locks}
        finally:
            if client is not None:
                await client.close()

    async def probe(_: State) -> Mapping[str, Any]:
        return {"server": await client.version() if client else None}

    checks = [Check(name="redis", probe=probe, critical=False)] if client else []
    return Component(name="redis", lifespan=lifespan, checks=checks)
