"""Fixtures of the cache's tests: a server, a client of it, and caches as processes have them."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from app.core.data.redis_client import RedisClient
from app.core.telemetry import listening
from app.extensions.redis import Cache, CacheRead, RedisSettings, connect
from tests.extensions.redis.servers import Server

MakeCache = Callable[..., Awaitable[Cache]]
PATIENCE = 2.0
"""Seconds that the server has to answer: more than a service gives it, since a busy machine is no outage."""


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server of TEST_REDIS_URL, or one from the wheel."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.kill()


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the test's own, to be broken."""
    started = Server(tmp_path_factory.mktemp("redis"))
    yield started
    started.kill()


@pytest.fixture
async def direct(redis_url: str) -> AsyncIterator[RedisClient]:
    """The server, past the cache."""
    connection = connect(RedisSettings(url=redis_url, timeout=PATIENCE))
    yield connection
    await connection.close()


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return uuid4().hex


@pytest.fixture
async def make_cache(redis_url: str, namespace: str) -> AsyncIterator[MakeCache]:
    """Makes and starts a cache, each with connections of its own, as if in a process of its own."""
    async with AsyncExitStack() as stack:

        async def make(url: str = redis_url, **settings: Any) -> Cache:
            mine = RedisSettings(url=url, **{"timeout": PATIENCE, **settings})
            connection = connect(mine)
            stack.push_async_callback(connection.close)
            cache = Cache(connection, mine, namespace)
            await cache.start()
            return cache

        yield make


@pytest.fixture
async def cache(make_cache: MakeCache) -> Cache:
    """A cache."""
    return await make_cache()


@pytest.fixture
def outcomes() -> Iterator[list[str]]:
    """The outcome of each read."""
    seen: list[str] = []
    with listening(CacheRead, lambda event: seen.append(event.outcome)):
        yield seen


class Loader:
    """A loader that counts, waits and fails as it is told."""

    def __init__(self, value: int = 1) -> None:
        self.value = value
        self.calls = 0
        self.error: Exception | None = None
        self.during: Callable[[], Awaitable[object]] | None = None

    async def __call__(self) -> int:
        """The value of this moment."""
        self.calls += 1
        value = self.value
        if self.during is not None:
            await self.during()
        if self.error is not None:
            raise self.error
        return value


@pytest.fixture
def load() -> Loader:
    """A loader of 1."""
    return Loader()
