"""Jobs in a server that speaks the Redis protocol."""

import logging
from typing import Self

import saq.queue.redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from saq.job import Status

from app.extensions.worker.queues import Queue, Waiting, out_of_step

logger = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds that a server has to answer, and to open a connection."""
LOOK = 2.0
"""Seconds that the server may hold a worker's request for a job; less than TIMEOUT."""

SWAP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('LREM', KEYS[2], 0, KEYS[1])
redis.call('LREM', KEYS[3], 0, KEYS[1])
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
  redis.call('ZADD', KEYS[4], ARGV[4], KEYS[1])
  if ARGV[4] == '0' then redis.call('RPUSH', KEYS[3], KEYS[1]) end
else
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  redis.call('ZREM', KEYS[4], KEYS[1])
end
return 1
"""

BEGIN = """
local last = redis.call('HGET', KEYS[1], ARGV[1])
if last and tonumber(last) >= tonumber(ARGV[2]) then return end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('ZSCORE', KEYS[3], KEYS[2]) then return end
redis.call('SET', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[3], 0, KEYS[2])
redis.call('RPUSH', KEYS[4], KEYS[2])
"""


class RedisQueue(Queue, saq.queue.redis.RedisQueue):
    """SAQ's queue on Redis."""

    failures = (RedisError, OSError)

    @classmethod
    def at(cls, url: str, name: str) -> Self:
        """Return a queue on the server of this URL. Commands wait for a restart of the server."""
        retry = Retry(ExponentialBackoff(cap=1.0, base=0.1), 5)
        client = Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=retry)
        return cls(client, name=name)

    async def disconnect(self) -> None:
        """Close every connection. SAQ itself would first ask the server, which may be gone."""
        await self.redis.aclose()
        await self.redis.connection_pool.disconnect()

    async def dequeue(self, timeout: float = 0.0, poll_interval: float = 0.0) -> Waiting | None:  # noqa: ARG002, ASYNC109
        return await self.dequeue_with_backoff(super().dequeue(out_of_step(LOOK)))

    async def advise(self) -> None:
        """Warn if a restart, or a full memory, would lose jobs."""
        try:
            facts = await self.redis.info()
        except self.failures:
            return  # away, or a provider that does not answer this
        if not facts.get("aof_enabled"):
            logger.warning("the server of WORKER__URL keeps nothing on disk: a restart loses jobs (appendonly yes)")
        if facts.get("maxmemory_policy", "noeviction") != "noeviction":
            logger.warning("the server of WORKER__URL evicts: a full one loses jobs (maxmemory-policy noeviction)")

    async def clock(self) -> float:
        seconds, micros = await self.redis.time()
        return float(seconds + micros / 1_000_000)

    async def oldest(self) -> float:
        """Return the seconds since the oldest job that waits was due. The list has the oldest first."""
        name = await self.redis.lindex(self._queued, 0)
        job = self.deserialize(await self.redis.get(name)) if name else None
        return max(0.0, await self.clock() - max(job.queued / 1000, job.touched / 1000, job.scheduled)) if job else 0.0

    async def _remember(self, job: Waiting, slot: int) -> None:
        await self.redis.hsetnx(self.namespace("slots"), job.function, str(slot))

    async def begin(self, job: Waiting, slot: int) -> None:
        """Enqueue the run of a schedule, once for each slot."""
        keys = [self.namespace("slots"), job.id, self._incomplete, self._queued]
        await self.redis.eval(BEGIN, len(keys), *keys, job.function, slot, self.serialize(job))

    async def _held(self) -> list[tuple[Waiting, bytes]]:
        names = await self.redis.lrange(self._active, 0, -1)
        payloads = await self.redis.mget(names)
        found = [(self.deserialize(payload), payload) for payload in payloads if isinstance(payload, bytes)]
        return [(job, payload) for job, payload in found if job]

    async def _swap(self, job: Waiting, stored: bytes | str, scheduled: int = 0) -> bool:
        keys = [job.id, self._active, self._queued, self._incomplete]
        ttl = 0 if job.status is Status.QUEUED else job.ttl
        return bool(await self.redis.eval(SWAP, len(keys), *keys, stored, self.serialize(job), ttl, scheduled))
