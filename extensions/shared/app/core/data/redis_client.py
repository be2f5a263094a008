"""The client of a Redis server that the service can do without: every wait is bounded, and an outage costs none."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from app.core.observability.throttle import Throttle

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
Part = bytes | str | int | float
"""A word of a command."""
Script = Callable[[list[str], list[Part]], Awaitable[Any]]
"""Runs a Lua script with keys and arguments, in one round trip."""

FIXED = frozenset({"decode_responses", "encoding", "encoding_errors"})
"""Parameters that would change what the service reads."""
PAUSE = 1.0
"""Seconds between two probes of a server that does not answer."""


def check_url(url: str) -> None:
    """Raise if the client does not take a URL: an unknown parameter, a file that does not exist, no number."""
    from redis.asyncio.connection import BlockingConnectionPool, parse_url

    given: dict[str, Any] = dict(parse_url(url))
    for name in given.keys() & {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}:
        Path(given[name]).stat()
    for name in given.keys() & FIXED:
        raise ValueError(f"argument {name!r}")
    if urlsplit(url).path.strip("/").lstrip("0123456789"):  # the client would take database 0
        raise ValueError("no number")
    pool: Any = BlockingConnectionPool.from_url(url)
    pool.make_connection()


class BackendUnavailable(Exception):
    """The server does not answer, or refuses the command."""


class RedisClient:
    """A pool of connections behind a circuit breaker: every call raises `BackendUnavailable` during an outage.

    After a failure calls are refused at once, and a task probes the server until it answers. Only the requests that
    are being served when an outage begins wait for the timeout.
    """

    def __init__(self, url: str, *, timeout: float, connections: int, server: str, meanwhile: str) -> None:
        """`server` and `meanwhile` are words for the log."""
        from redis.asyncio import BlockingConnectionPool, Redis  # 0.6 s that a service without a server saves
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # no call waits for a server that is away
        )
        self._client = Redis(connection_pool=pool)
        self._failures = (RedisError, OSError)
        self._server, self._meanwhile = server, meanwhile
        self._probing: asyncio.Task[None] | None = None
        self._may_warn = Throttle()
        self.on_return: list[Callable[[], Awaitable[object]]] = []
        """Called when the server is back, before any other call reaches it."""

    async def command(self, *parts: Part) -> Any:
        return await self._guarded(lambda: self._client.execute_command(*parts))  # type: ignore[no-untyped-call]

    def script(self, text: str) -> Script:
        registered = self._client.register_script(text)

        async def run(keys: list[str], arguments: list[Part]) -> Any:
            return await self._guarded(lambda: registered(keys=keys, args=arguments))

        return run

    async def version(self) -> str:
        """Return the version of the server, past the guard."""
        server = await self._client.info("server")
        return str(server.get("valkey_version") or server["redis_version"])

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def _guarded(self, call: Callable[[], Awaitable[Result]]) -> Result:
        if self._probing is not None and asyncio.current_task() is not self._probing:
            raise BackendUnavailable
        try:
            return await call()
        except self._failures as error:
            if self._probing is None:
                self._warn(error)
                # Without the context of the request that noticed, which ends earlier.
                self._probing = asyncio.create_task(self._wait(), context=Context())
            raise BackendUnavailable from error

    def _warn(self, error: BaseException | None) -> None:
        if self._may_warn():
            logger.warning("%s does not answer: %s (%s)", self._server, self._meanwhile, error)

    async def _wait(self) -> None:
        while True:
            await asyncio.sleep(PAUSE * random.uniform(0.75, 1.25))  # noqa: S311  # so that not all ask at once
            try:
                await self._look()
            except BackendUnavailable as error:
                self._warn(error.__cause__)
            except self._failures as error:
                self._warn(error)
            else:
                self._probing = None
                logger.info("%s answers again", self._server)
                return

    async def _look(self) -> None:
        # Idle connections died with the server: each would find that out for itself.
        await self._client.connection_pool.disconnect(inuse_connections=False)
        await self.command("PING")
        for call in self.on_return:
            await call()
