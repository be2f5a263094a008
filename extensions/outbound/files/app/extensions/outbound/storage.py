"""The storage that all processes share, a server that speaks Redis' protocol: left alone while it does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from threading import get_ident
from typing import Any

from app.core.data.outage import Outage

Script = Callable[[str, list[str | int]], Awaitable[Any]]
"""Runs with a key and arguments, or raises `Away`."""


class Storage:
    """A pool of connections, and what is done while the server is away."""

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
        self._outage = Outage(
            "the storage of the circuit breakers",
            "each process has its own",
            failures=(RedisError, OSError),
            look=self._look,
        )

    def script(self, text: str) -> Script:
        """A function that runs a Lua script, in one round trip."""
        registered = self._client.register_script(text)

        async def run(key: str, arguments: list[str | int]) -> Any:
            return await self._outage.guard(lambda: registered(keys=[key], args=arguments))

        return run

    async def close(self) -> None:
        """Close every connection."""
        self._outage.close()
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def _look(self) -> None:
        # Those that were idle when the server went are dead too, and each would find that out for itself.
        await self._client.connection_pool.disconnect(inuse_connections=False)
        await self._client.execute_command("PING")  # type: ignore[no-untyped-call]
