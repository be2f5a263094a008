"""Jobs in PostgreSQL, in the service's own database or another one."""

from typing import Self

import saq.queue.postgres
from psycopg import Error
from psycopg_pool import AsyncConnectionPool
from saq.job import Status
from saq.utils import now_seconds

from app.extensions.worker.queues import Queue, Waiting, out_of_step

TIMEOUT = 5
"""Seconds to open a connection, and to get one."""
LOOK = 0.5
"""The most seconds between two looks for jobs. LISTEN is quicker, but a dead connection hears nothing."""
LOCK = 7_302_114_502
"""The key of the advisory lock for creating the tables."""

FORGET = "DELETE FROM saq_jobs WHERE key = %s AND status IN ('aborted', 'complete', 'failed')"
CLOCK = "SELECT EXTRACT(EPOCH FROM NOW())"
# A run of a schedule has no time, and waits only beside a worker.
OLDEST = """
SELECT COALESCE(EXTRACT(EPOCH FROM NOW()) - MIN(NULLIF(scheduled, 0)), 0) FROM saq_jobs
WHERE queue = %s AND status = 'queued' AND scheduled <= EXTRACT(EPOCH FROM NOW())
"""
CLEAN_JOBS = "DELETE FROM saq_jobs WHERE expire_at <= EXTRACT(EPOCH FROM NOW())"
CLEAN_STATS = "DELETE FROM saq_stats WHERE expire_at <= EXTRACT(EPOCH FROM NOW())"
HELD = "SELECT job, status FROM saq_jobs WHERE queue = %s AND status IN ('active', 'aborting')"
SLOTS = """
CREATE TABLE IF NOT EXISTS saq_slots (queue TEXT, job TEXT, slot BIGINT NOT NULL, PRIMARY KEY (queue, job))
"""
REMEMBER = "INSERT INTO saq_slots (queue, job, slot) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
BEGIN = """
INSERT INTO saq_slots (queue, job, slot) VALUES (%s, %s, %s)
ON CONFLICT (queue, job) DO UPDATE SET slot = excluded.slot WHERE saq_slots.slot < excluded.slot
"""
ENQUEUE = """
INSERT INTO saq_jobs (key, job, queue, status, scheduled) VALUES (%s, %s, %s, 'queued', 0)
ON CONFLICT (key) DO UPDATE SET job = excluded.job, status = 'queued', scheduled = 0, expire_at = NULL
WHERE saq_jobs.status IN ('aborted', 'complete', 'failed')
"""
HOLD = "SELECT FROM saq_jobs WHERE key = %s FOR UPDATE"
SWAP = "UPDATE saq_jobs SET job = %s, status = %s, scheduled = %s, expire_at = %s WHERE key = %s AND job = %s"


class PostgresQueue(Queue, saq.queue.postgres.PostgresQueue):
    """SAQ's queue on PostgreSQL."""

    failures = (Error, OSError)

    @classmethod
    def at(cls, url: str, name: str) -> Self:
        pool = AsyncConnectionPool(
            url,
            min_size=0,
            max_size=5,
            timeout=TIMEOUT,
            kwargs={"connect_timeout": TIMEOUT},
            check=AsyncConnectionPool.check_connection,
            open=False,
        )
        return cls(pool, name=name)

    async def connect(self) -> None:
        """Open the pool, and create the tables of SAQ if they are missing."""
        await self.pool.open()
        await super().connect()

    async def disconnect(self) -> None:
        await super().disconnect()
        await self.pool.close()

    async def init_db(self) -> None:
        """Create the tables, one process at a time: SAQ lets the second of two go on without them."""
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            await super().init_db()
            await connection.execute(SLOTS)

    async def dequeue(self, timeout: float = 0.0, poll_interval: float = 0.0) -> Waiting | None:  # noqa: ARG002, ASYNC109
        return await self.dequeue_with_backoff(self._take())

    async def _take(self) -> Waiting | None:
        await self.connect()
        return await super().dequeue(poll_interval=out_of_step(LOOK))

    async def _enqueue(self, job: Waiting) -> Waiting | None:
        """Enqueue a job. SAQ itself frees the key of one that failed after a retry only in the next second."""
        if not job.scheduled:
            async with self.pool.connection() as connection:
                await connection.execute(FORGET, [job.key])
        return await super()._enqueue(job)

    async def clock(self) -> float:
        async with self.pool.connection() as connection:
            (seconds,) = await (await connection.execute(CLOCK)).fetchone() or (0,)
        return float(seconds)

    async def oldest(self) -> float:
        async with self.pool.connection() as connection:
            (seconds,) = await (await connection.execute(OLDEST, [self.name])).fetchone() or (0,)
        return float(seconds)

    async def _remember(self, job: Waiting, slot: int) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(REMEMBER, [self.name, job.function, slot])

    async def begin(self, job: Waiting, slot: int) -> None:
        """Enqueue the run of a schedule, once for each slot."""
        async with self.pool.connection() as connection, connection.transaction():
            if (await connection.execute(BEGIN, [self.name, job.function, slot])).rowcount == 1:
                await connection.execute(ENQUEUE, [job.key, self.serialize(job), self.name])

    async def _held(self) -> list[tuple[Waiting, bytes]]:
        async with self.pool.connection() as connection:
            await connection.execute(CLEAN_JOBS)
            await connection.execute(CLEAN_STATS)
            rows = await (await connection.execute(HELD, [self.name])).fetchall()
        found = [(self.deserialize(bytes(payload), status), bytes(payload)) for payload, status in rows]
        return [(job, payload) for job, payload in found if job]

    async def _swap(self, job: Waiting, stored: bytes | str, scheduled: int = 0) -> bool:
        now = int(now_seconds())
        expires = None if job.status is Status.QUEUED else now + job.ttl
        values = [self.serialize(job), job.status, scheduled or now, expires, job.key, stored]
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(HOLD, [job.key])  # waits for SAQ, which hands over a job before the commit
            return (await connection.execute(SWAP, values)).rowcount == 1
