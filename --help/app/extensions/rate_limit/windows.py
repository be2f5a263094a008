"""Sliding windows (https://blog.cloudflare.com/counting-things-a-lot-of-different-things/), in memory or in Redis.

Each window has two counters: of the current window, and of the one before, whose weight falls while that passes.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from time import time
from typing import NamedTuple

from app.core.data.redis_client import Part, RedisClient
from app.extensions.rate_limit.settings import RateLimitSettings

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Limit:
    """The windows of a limit: pairs of seconds and requests. Without windows there is no limit."""

    windows: tuple[tuple[int, int], ...]

    @cached_property
    def policy(self) -> str:
        return ", ".join(f"{quota};w={seconds}" for seconds, quota in self.windows)

    @cached_property
    def headers(self) -> tuple[tuple[Header, Header], ...]:
        """Return the constant headers of each window, encoded once."""
        policy = (b"ratelimit-policy", self.policy.encode())
        return tuple(((b"ratelimit-limit", b"%d" % quota), policy) for _, quota in self.windows)


class Verdict(NamedTuple):
    """The result of a count, for the window with the fewest requests left."""

    place: int
    """The index of the window."""
    remaining: int
    reset: int
    """Seconds until the window ends."""
    retry_after: int
    """Seconds until a request may pass; 0 if this one may."""


def limit(per_minute: int | None, per_hour: int | None) -> Limit:
    """Return a limit of these quotas; None means no window."""
    both = [(60, per_minute), (3600, per_hour)]
    if any(quota is not None and quota < 1 for _, quota in both):
        raise ValueError(f"a limit is at least 1: per_minute={per_minute}, per_hour={per_hour}")
    return Limit(tuple((seconds, quota) for seconds, quota in both if quota is not None))


def count(counters: list[int], windows: tuple[tuple[int, int], ...], now: float) -> Verdict:
    """Count a request if it may pass. `counters` has for each window its index, its requests and those before."""
    tightest = 0
    least, longest, reset = float("inf"), 0.0, 0.0
    for place, (seconds, quota) in enumerate(windows):
        at = 3 * place
        index = int(now // seconds)
        passed = now - index * seconds
        if counters[at] != index:
            counters[at + 2] = counters[at + 1] if counters[at] == index - 1 else 0
            counters[at + 1] = 0
            counters[at] = index
        used, before = counters[at + 1], counters[at + 2]
        left = quota - used - before * (1 - passed / seconds)
        if left < 1:
            if used >= quota:  # so the next window starts above the quota as well
                wait = seconds - passed + seconds * (1 - (quota - 1) / used)
            else:
                wait = seconds * (1 - (quota - 1 - used) / before) - passed
            if wait > longest:
                longest, tightest, reset = wait, place, seconds - passed
        elif left < least and not longest:
            least, tightest, reset = left, place, seconds - passed
    if longest:
        return Verdict(tightest, 0, ceil(reset), max(1, ceil(longest)))
    for current in range(1, len(counters), 3):
        counters[current] += 1
    return Verdict(tightest, int(least) - 1, ceil(reset), 0)


class LocalCounters:
    """The counters of this process, for a bounded number of clients."""

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self._counters: dict[str, list[int]] = {}

    def hit(self, client: str, limit: Limit) -> Verdict:
        """Count a request if it may pass."""
        counters = self._counters.get(client)
        if counters is None:
            if len(self._counters) >= self._clients:
                self._forget()
            counters = self._counters[client] = [0] * (3 * len(limit.windows))
        return count(counters, limit.windows, time())

    def _forget(self) -> None:
        """Forget the oldest tenth, so that this slow step is rare."""
        for client in list(self._counters)[: len(self._counters) // 10 + 1]:
            del self._counters[client]


# The same as `count`, by the server's clock. Returns the index of the window, remaining, reset and retry-after.
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


class SharedCounters:
    """The counters of all processes, in a Redis server."""

    def __init__(self, settings: RateLimitSettings, namespace: str) -> None:
        self.client = RedisClient(
            settings.storage_url or "",
            timeout=settings.storage_timeout,
            connections=10,
            server="the storage of the rate limit",
            meanwhile="each process counts for itself",
        )
        self._count = self.client.script(COUNT)
        self._namespace = namespace

    async def hit(self, client: str, limit: Limit) -> Verdict:
        """Count a request if it may pass, or raise `BackendUnavailable`."""
        numbers: list[Part] = [number for window in limit.windows for number in window]
        return Verdict(*await self._count([f"{self._namespace}:limit:{client}"], numbers))
