"""The storage that all processes share, a server that speaks Redis' protocol: left alone while it does not answer."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from threading import get_ident
from time import monotonic
from typing import Any

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks whether the server is back."""
Script = Callable[[str, list[str | int]], Awaitable[Any]]
"""Runs with a key and arguments, or raises `Away`."""


class Away(Exception):
    """The server does not answer."""


class Storage:
    """A pool of connections. After a failure the server is left alone until a look finds it back."""

    def __init__(self, url: str, timeout: float, namespace: str) -> None:
        from redis.asyncio import BlockingConnectionPool, Redis  # 0.6 s, which a service without a server saves
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=20,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        self.namespace = namespace
        self.timeout = timeout
        self.loop = asyncio.get_running_loop()
        """The one that the connections belong to."""
        self.thread = get_ident()
        self._client = Redis(connection_pool=pool)
        self._failures = (RedisError, OSError)
        self._looking: asyncio.Task[None] | None = None
        self._warned = float("-inf")

    def script(self, text: str) -> Script:
        """A function that runs a Lua script, in one round trip."""
        registered = self._client.register_script(text)

        async def run(key: str, arguments: list[str | int]) -> Any:
            if self._looking is not None:
                raise Away
            try:
                return await registered(keys=[key], args=arguments)
            except self._failures as error:
                if self._looking is None:
                    self._warn(error)
                    self._looking = asyncio.create_task(self._look(), context=Context())
                raise Away from error

        return run

    async def close(self) -> None:
        """Close every connection."""
        if self._looking is not None:
            self._looking.cancel()
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    def _warn(self, error: Exception) -> None:
        if monotonic() - self._warned >= 60:
            self._warned = monotonic()
            message = "the storage of the circuit breakers does not answer: each process has its own (%s)"
            logger.warning(message, error)

    async def _look(self) -> None:
        """Wait until the server is back."""
        while True:
            await asyncio.sleep(PAUSE * random.uniform(0.75, 1.25))  # noqa: S311  # so that not all ask at once
            # Those that were idle when the server went are dead too, and each would find that out for itself.
            await self._client.connection_pool.disconnect(inuse_connections=False)
            try:
                await self._client.execute_command("PING")  # type: ignore[no-untyped-call]
            except self._failures as error:
                self._warn(error)
            else:
                self._looking = None
                logger.info("the storage of the circuit breakers answers again")
                return
