"""The queues that jobs wait in: SAQ's, with what they lack for an outage, and with their news told to telemetry."""

import asyncio
import logging
import random
import warnings
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Mapping
from time import monotonic, time
from typing import Any, ClassVar
from uuid import uuid4

import saq
from saq.job import Status
from saq.utils import now

from app.core import telemetry
from app.core.data.outage import Seldom
from app.extensions.worker.declaring import Call, Job, declared
from app.extensions.worker.settings import WorkerSettings

Waiting = saq.Job
"""A job on its way: with its arguments, and with how often it has been tried."""
logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks whether the queue is back."""
ELSEWHERE = 3
"""Seconds after which a job that a worker did not know is offered to all of them again."""


class OnceAMinute(logging.Filter):
    """Lets a warning of SAQ's pass once a minute: during an outage it has some every second."""

    def __init__(self) -> None:
        super().__init__()
        self._due: defaultdict[str, Seldom] = defaultdict(Seldom)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if record.msg == "Error processing job %s":
            return False  # with every argument; ours is without
        return self._due[record.msg]()


class Queue(saq.Queue):
    """What is common to the queues of all servers."""

    failures: ClassVar[tuple[type[Exception], ...]]
    """What it raises where its server cannot be reached."""
    heartbeat: int
    keep_failed: int
    unknown: list[str]
    """The kinds of jobs that this process has met and does not know."""
    _seldom: defaultdict[str, Seldom]
    _silent: dict[str, tuple[int, float]]
    """What was held at the last look: when it was touched, and since when it has been silent."""

    @classmethod
    @abstractmethod
    def at(cls, url: str, name: str) -> "Queue":
        """A queue on the server of this URL."""

    def waiting(
        self, job: Job[Any], call: Call, *, key: str | None, scheduled: int, meta: Mapping[str, Any]
    ) -> Waiting:
        """A job as SAQ takes it. The timeout is ours: SAQ's lets a sweep repeat what is being given up."""
        return Waiting(
            function=job.name,
            kwargs=call.arguments,
            queue=self,
            key=f"{self.name}:{job.name}:{key or uuid4().hex}",  # PostgreSQL has one table for all queues
            timeout=0,
            heartbeat=self.heartbeat,
            retries=job.tries,
            ttl=self.keep_failed,
            retry_delay=job.delay,
            retry_backoff=job.longest_delay,
            scheduled=scheduled,
            queued=now(),
            status=Status.QUEUED,
            meta=dict(meta),
        )

    async def advise(self) -> None:
        """Warn of a server that may lose jobs."""

    async def patiently(self, taking: Awaitable[Waiting | None]) -> Waiting | None:
        """Take a job that this worker knows, or wait a little without the queue: SAQ asks again at once."""
        try:
            job = await taking
            if job is None or job.function in declared():
                return job
            await self._put_back(job)
        except Exception as error:  # noqa: BLE001  # told below, once a minute
            logging.getLogger("saq").warning("the queue cannot be reached: %r", error)
            await asyncio.sleep(PAUSE)
        return None

    async def _put_back(self, job: Waiting) -> None:
        """Leave a job of another release to its workers. It has not been tried: SAQ counts tries later."""
        stored = self.serialize(job)
        job.status, job.started, job.touched = Status.QUEUED, 0, now()
        await self._swap(job, stored, int(time()) + ELSEWHERE)
        if job.function not in self.unknown:
            self.unknown.append(job.function)
        if self._seldom[job.function]():
            logger.warning("job %s is not known to this worker: is it older than the service?", job.function)

    @abstractmethod
    async def clock(self) -> float:
        """Return the time by the server's clock, since those of workers differ."""

    async def remember(self, job: Waiting, slot: int) -> None:
        """Note that a schedule begins after `slot`, unless it is known already. Times are in seconds since 1970."""
        earlier = await self.job(job.key)  # releases before 0.3.3 enqueued the next run in advance: it is that slot's
        await self._remember(job, max(slot, earlier.scheduled) if earlier else slot)

    @abstractmethod
    async def _remember(self, job: Waiting, slot: int) -> None:
        """Note the slot of a schedule that has none."""

    @abstractmethod
    async def begin(self, job: Waiting, slot: int) -> None:
        """Enqueue the run of a schedule that is due since `slot`, unless that or a later one has begun before.

        While the run before waits or goes on, the slot is noted and nothing is enqueued.
        """

    async def finish(
        self, job: Waiting, status: Status, *, result: Any = None, error: str | None = None, **more: Any
    ) -> None:
        """End a job, and tell so."""
        await super().finish(job, status, result=result, error=error, **more)
        self._tell_end(job)

    async def sweep(self, lock: int = 60, abort: float = 5.0) -> list[str]:  # noqa: ARG002  # as SAQ calls it
        """Begin anew what dead workers have left: what nobody has touched for the heartbeat's time, by this clock.

        SAQ's own goes by the clocks of others, takes what an outage kept from being touched for left behind, and can
        end or repeat what its worker finishes meanwhile.
        """
        known, self._silent = self._silent, {}  # where the next line fails, the silence begins anew
        swept = []
        for job, stored in await self._held():
            touched, since = known.get(job.key, (None, 0.0))
            if touched != job.touched:
                since = monotonic()
            self._silent[job.key] = (job.touched, since)
            if monotonic() - since >= self.heartbeat and await self._take_back(job, stored):
                swept.append(job.key)
        return swept

    async def _take_back(self, job: Waiting, stored: bytes) -> bool:
        job.status = Status.QUEUED if job.retryable else Status.ABORTED
        job.error, job.started, job.touched = "its worker was not heard of", 0, now()
        if not await self._swap(job, stored):
            return False  # its worker lives
        outcome = "begun anew" if job.status is Status.QUEUED else "given up"
        logger.warning("a worker was not heard of: its job %s is %s", job.function, outcome, extra={"key": job.key})
        if job.status is Status.ABORTED:
            self._tell_end(job)
        return True

    def _tell_end(self, job: Waiting) -> None:
        duration = max(0, now() - job.meta.get("began", job.queued)) / 1000
        telemetry.emit(telemetry.JobFinished(job.function, job.status.value, duration, job.attempts))

    @abstractmethod
    async def _held(self) -> list[tuple[Waiting, bytes]]:
        """What workers have taken, each with how it is stored."""

    @abstractmethod
    async def _swap(self, job: Waiting, stored: bytes | str, scheduled: int = 0) -> bool:
        """Store a job that is queued or ended in place of how it was stored; false if that is not so any more.

        A queued one is due at the time `scheduled`, or now.
        """


def out_of_step(seconds: float) -> float:
    """Return a part of a time. Workers in step would offer a job that one does not know to that one again and again."""
    return seconds * random.uniform(0.5, 1)  # noqa: S311


def open_queue(url: str, name: str, settings: WorkerSettings) -> Queue:
    """A queue on the server of this URL. Nothing is connected yet."""
    queue = _kind(url).at(url, name)
    queue.heartbeat, queue.keep_failed, queue._silent = settings.heartbeat, settings.keep_failed, {}
    queue.unknown, queue._seldom = [], defaultdict(Seldom)
    return queue


def _kind(url: str) -> type[Queue]:
    for noisy in ("saq", "psycopg.pool"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
        logging.getLogger(noisy).filters = [OnceAMinute()]
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"saq\.")  # SETEX, iscoroutinefunction
    if url.startswith("redis"):
        from app.extensions.worker.on_redis import RedisQueue  # 0.2 s, as the other one: only what is used

        return RedisQueue
    from app.extensions.worker.on_postgres import PostgresQueue

    return PostgresQueue
