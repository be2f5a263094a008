"""Counting for all processes together, in a server that speaks Redis' protocol: one script, one round trip."""

from app.core.data.outage import Outage
from app.extensions.rate_limit.settings import RateLimitSettings
from app.extensions.rate_limit.windows import Limit, Verdict

# What `windows.count` does, by the server's clock. Returns the place of the window, remaining, reset and retry-after.
COUNT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local counters = {}
for number in string.gmatch(redis.call('GET', KEYS[1]) or '', '%d+') do
  counters[#counters + 1] = tonumber(number)
end
local least, longest, tightest, reset, kept = math.huge, 0, 0, 0, 0
for place = 1, #ARGV / 2 do
  local seconds, quota, at = tonumber(ARGV[place * 2 - 1]), tonumber(ARGV[place * 2]), place * 3 - 2
  local index = math.floor(now / seconds)
  local passed = now - index * seconds
  if counters[at] ~= index then
    counters[at + 2] = counters[at] == index - 1 and counters[at + 1] or 0
    counters[at + 1] = 0
    counters[at] = index
  end
  local current, before = counters[at + 1], counters[at + 2]
  local left = quota - current - before * (1 - passed / seconds)
  if left < 1 then
    local wait = seconds * (1 - (quota - 1 - current) / before) - passed
    if current >= quota then wait = seconds - passed + seconds * (1 - (quota - 1) / current) end
    if wait > longest then longest, tightest, reset = wait, place - 1, seconds - passed end
  elseif left < least and longest == 0 then
    least, tightest, reset = left, place - 1, seconds - passed
  end
  kept = math.max(kept, 2 * seconds)
end
if longest == 0 then
  for at = 2, #counters, 3 do counters[at] = counters[at] + 1 end
end
redis.call('SET', KEYS[1], table.concat(counters, ' '), 'EX', kept)
if longest > 0 then return {tightest, 0, math.ceil(reset), math.max(1, math.ceil(longest))} end
return {tightest, math.floor(least) - 1, math.ceil(reset), 0}
"""


class Shared:
    """The counters of the clients, in the server."""

    def __init__(self, settings: RateLimitSettings, namespace: str) -> None:
        from redis.asyncio import BlockingConnectionPool, Redis  # 0.6 s, which a service without a server saves
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        pool = BlockingConnectionPool.from_url(
            settings.storage_url or "",
            max_connections=10,
            timeout=settings.storage_timeout,
            socket_timeout=settings.storage_timeout,
            socket_connect_timeout=settings.storage_timeout,
            retry=Retry(NoBackoff(), 0),
        )
        self._client = Redis(connection_pool=pool)
        self._count = self._client.register_script(COUNT)
        self._namespace = namespace
        self._outage = Outage(
            "the storage of the rate limit",
            "each process counts for itself",
            failures=(RedisError, OSError),
            look=self._look,
        )

    async def hit(self, client: str, limit: Limit) -> Verdict:
        """Count a request, if it may pass.

        Raises:
            Away: the server does not answer.
        """
        arguments = [number for window in limit.windows for number in window]
        key = f"{self._namespace}:limit:{client}"
        return Verdict(*await self._outage.guard(lambda: self._count([key], arguments)))

    async def close(self) -> None:
        """Close every connection."""
        self._outage.close()
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def _look(self) -> None:
        # Those that were idle when the server went are dead too, and each would find that out for itself.
        await self._client.connection_pool.disconnect(inuse_connections=False)
        await self._client.execute_command("PING")  # type: ignore[no-untyped-call]
