"""The connection to the server: every wait is bounded, and during an outage there is none."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from app.core.component import State
from app.core.data.outage import Outage
from app.extensions.redis.settings import RedisSettings

Part = bytes | str | int | float
"""A word of a command."""


def milliseconds(seconds: float) -> int:
    """A lifetime as the server takes it. It refuses 0, and what it refuses counts as an outage."""
    return max(1, int(seconds * 1000))


class Connection:
    """A pool of connections, and what is done while the server is away."""

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
        self._outage = Outage(
            "redis", "the service works on without it", failures=(RedisError, OSError), look=self._look
        )
        self.on_return: list[Callable[[], Awaitable[object]]] = []
        """Called when the server is back, before anybody else uses it again."""

    async def command(self, *parts: Part) -> Any:
        """Run a command.

        Raises:
            Away: the server is not there, or does not do it.
        """
        return await self._outage.guard(lambda: self._client.execute_command(*parts))  # type: ignore[no-untyped-call]

    def script(self, text: str) -> Callable[[list[str], list[Part]], Awaitable[Any]]:
        """A function that runs a Lua script with keys and arguments. It raises what `command` raises."""
        registered = self._client.register_script(text)

        async def run(keys: list[str], arguments: list[Part]) -> Any:
            return await self._outage.guard(lambda: registered(keys=keys, args=arguments))

        return run

    async def probe(self, _: State) -> Mapping[str, Any]:
        """The health check."""
        server = await self._client.info("server")
        return {"server": server.get("valkey_version") or server["redis_version"]}

    async def close(self) -> None:
        """Close every connection."""
        self._outage.close()
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def _look(self) -> None:
        # Those that were idle when the server went are dead too, and each would find that out for itself.
        await self._client.connection_pool.disconnect(inuse_connections=False)
        await self.command("PING")
        for call in self.on_return:
            await call()
