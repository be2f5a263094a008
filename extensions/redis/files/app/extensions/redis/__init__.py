"""Redis: a cache that all processes share, and locks between them."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.component import Check, Component, State
from app.core.settings import ServiceSettings, Settings
from app.extensions.redis.cache import Cache, CacheDep
from app.extensions.redis.connection import Connection
from app.extensions.redis.decorator import cached, running
from app.extensions.redis.keys import key_for
from app.extensions.redis.locks import Locks, LocksDep, LockTaken, LockUnavailable
from app.extensions.redis.settings import RedisSettings

__all__ = [
    "Cache",
    "CacheDep",
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


def component(settings: Settings) -> Component:
    """Hands over the cache and the locks. It starts without the server too, which is no reason to refuse requests."""
    mine = settings.of(RedisSettings)
    namespace = mine.namespace or settings.of(ServiceSettings).name
    connection = Connection(mine) if mine.url else None
    cache, locks = Cache(connection, mine, namespace), Locks(connection, namespace)

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        if connection is None:
            logger.warning("REDIS__URL is not set: nothing is cached")
        await cache.start()
        with running(cache):
            yield {"cache": cache, "locks": locks}
        if connection is not None:
            await connection.close()

    checks = [Check(name="redis", probe=connection.probe, critical=False)] if connection else []
    return Component(name="redis", lifespan=lifespan, checks=checks)
