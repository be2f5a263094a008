"""The connection to the server: every wait is bounded, and during an outage there is none."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from time import monotonic
from typing import Any

from app.core.component import State
from app.extensions.redis.settings import RedisSettings

Part = bytes | str | int | float
"""A word of a command."""
logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks whether the server is back."""


class Away(Exception):
    """The server does not answer, or not with what was asked for."""


class Seldom:
    """Says yes once a minute: for warnings of what may happen a thousand times a second."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self) -> bool:
        """Whether the minute is over."""
        if monotonic() - self._last < 60:
            return False
        self._last = monotonic()
        return True


class Connection:
    """A pool of connections. After a failure commands are refused at once, and a task looks when the server is back.

    So an outage costs those requests the timeout that are under way when it begins, and all others nothing.
    """

    def __init__(self, settings: RedisSettings) -> None:
        from redis.asyncio import BlockingConnectionPool, Redis  # 0.6 s, which a service without a server saves
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        pool = BlockingConnectionPool.from_url(
            settings.url or "",
            max_connections=settings.connections,
            timeout=settings.timeout,
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.timeout,
            retry=Retry(NoBackoff(), 0),  # waiting is no use here: the loader answers meanwhile
        )
        self._client = Redis(connection_pool=pool)
        self._failures = (RedisError, OSError)
        self._looking: asyncio.Task[None] | None = None
        self._due = Seldom()
        self.on_return: Callable[[], Awaitable[object]] | None = None
        """Called when the server is back, before anybody else uses it again."""

    async def command(self, *parts: Part) -> Any:
        """Run a command.

        Raises:
            Away: the server is not there, or does not do it.
        """
        return await self._guarded(lambda: self._client.execute_command(*parts))  # type: ignore[no-untyped-call]

    def script(self, text: str) -> Callable[[list[str], list[Part]], Awaitable[Any]]:
        """A function that runs a Lua script with keys and arguments. It raises what `command` raises."""
        registered = self._client.register_script(text)

        async def run(keys: list[str], arguments: list[Part]) -> Any:
            return await self._guarded(lambda: registered(keys=keys, args=arguments))

        return run

    async def probe(self, _: State) -> Mapping[str, Any]:
        """The health check."""
        server = await self._client.info("server")
        return {"server": server.get("valkey_version") or server["redis_version"]}

    async def close(self) -> None:
        """Close every connection."""
        if self._looking is not None:
            self._looking.cancel()
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def _guarded(self, work: Callable[[], Awaitable[Any]]) -> Any:
        if self._looking is not None and asyncio.current_task() is not self._looking:
            raise Away
        try:
            return await work()
        except self._failures as error:
            if self._looking is None:
                self._warn(error)
                self._looking = asyncio.create_task(self._look(), context=Context())
            raise Away from error

    def _warn(self, error: BaseException | None) -> None:
        if self._due():
            logger.warning("redis does not answer: the service works on without it (%s)", error)

    async def _look(self) -> None:
        """Wait until the server is back."""
        while True:
            await asyncio.sleep(PAUSE * random.uniform(0.75, 1.25))  # noqa: S311  # so that not all ask at once
            # Those that were idle when the server went are dead too, and each would find that out for itself.
            await self._client.connection_pool.disconnect(inuse_connections=False)
            try:
                await self.command("PING")
                if self.on_return is not None:
                    await self.on_return()
            except Away as error:
                self._warn(error.__cause__)
            else:
                self._looking = None
                logger.info("redis answers again")
                return
