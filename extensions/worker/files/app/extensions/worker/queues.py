"""The queue of jobs: SAQ's, hardened against outages, and with an event at the end of each job."""

import asyncio
import logging
import random
import warnings
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Mapping
from time import monotonic, time
from typing import Any, ClassVar, Self
from uuid import uuid4

import saq
from saq.job import Status
from saq.utils import now

from app.core.observability.throttle import Throttle
from app.core.telemetry import emit
from app.extensions.worker.registry import Call, Job, JobFinished, WorkerSettings, declared

Waiting = saq.Job
"""A job in the queue, with its arguments and the number of its tries."""
logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two attempts to reach a queue that is away."""
ELSEWHERE = 3
"""Seconds after which a job that a worker did not know is offered to all of them again."""


class OnceAMinute(logging.Filter):
    """Lets each warning of SAQ pass once a minute: during an outage there are some every second."""

    def __init__(self) -> None:
        super().__init__()
        self._due: defaultdict[str, Throttle] = defaultdict(Throttle)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == "Error processing job %s":
            return False  # it shows every argument; our own does not
        return self._due[record.msg]()


class Queue(saq.Queue):
    """The part that is common to the queues of all servers."""

    failures: ClassVar[tuple[type[Exception], ...]]
    """The errors that it raises if its server cannot be reached."""

    def configured(self, settings: WorkerSettings) -> Self:
        """Apply the settings, and keep SAQ quiet."""
        self.heartbeat, self.keep_failed = settings.heartbeat, settings.keep_failed
        self.unknown: list[str] = []
        """The names of jobs that this process has met and does not know."""
        self._may_warn = defaultdict[str, Throttle](Throttle)
        self._silent: dict[str, tuple[int, float]] = {}
        """The jobs that were held at the last look: the time of their last sign, and the start of the silence."""
        for noisy in ("saq", "psycopg.pool"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
            logging.getLogger(noisy).filters = [OnceAMinute()]
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"saq\.")  # SETEX, iscoroutinefunction
        return self

    def waiting(
        self, job: Job[Any], call: Call, *, key: str | None, scheduled: int, meta: Mapping[str, Any]
    ) -> Waiting:
        """Return a job as SAQ takes it. The timeout is our own: with SAQ's a sweep repeats a job that is given up."""
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

    async def dequeue_with_backoff(self, taking: Awaitable[Waiting | None]) -> Waiting | None:
        """Take a job that this worker knows. Without the queue, wait a little: SAQ asks again at once."""
        try:
            job = await taking
            if job is None or job.function in declared():
                return job
            await self._put_back(job)
        except Exception as error:  # noqa: BLE001  # logged once a minute
            logging.getLogger("saq").warning("the queue cannot be reached: %r", error)
            await asyncio.sleep(PAUSE)
        return None

    async def _put_back(self, job: Waiting) -> None:
        """Leave a job of another release to its workers. This is not a try: SAQ counts these later."""
        stored = self.serialize(job)
        job.status, job.started, job.touched = Status.QUEUED, 0, now()
        await self._swap(job, stored, int(time()) + ELSEWHERE)
        if job.function not in self.unknown:
            self.unknown.append(job.function)
        if self._may_warn[job.function]():
            logger.warning("job %s is not known to this worker: is it older than the service?", job.function)

    @abstractmethod
    async def clock(self) -> float:
        """Return the time of the server: the clocks of workers differ."""

    @abstractmethod
    async def oldest(self) -> float:
        """Return the seconds since the oldest job that waits was due, or 0 if none waits."""

    async def remember(self, job: Waiting, slot: int) -> None:
        """Store `slot`, in seconds since 1970, as the last run of a schedule that is new."""
        earlier = await self.job(job.key)  # releases before 0.3.3 enqueued the next run in advance
        await self._remember(job, max(slot, earlier.scheduled) if earlier else slot)

    @abstractmethod
    async def _remember(self, job: Waiting, slot: int) -> None:
        """Store the slot of a schedule that has none."""

    @abstractmethod
    async def begin(self, job: Waiting, slot: int) -> None:
        """Enqueue the run of a schedule for `slot`, unless that run or a later one was begun.

        While the previous run waits or runs, the slot is stored and nothing is enqueued.
        """

    async def finish(
        self, job: Waiting, status: Status, *, result: Any = None, error: str | None = None, **more: Any
    ) -> None:
        """End a job, and emit the event."""
        await super().finish(job, status, result=result, error=error, **more)
        self._tell_end(job)

    async def sweep(self, lock: int = 60, abort: float = 5.0) -> list[str]:  # noqa: ARG002  # as SAQ calls it
        """Queue the jobs of dead workers again: those without a sign for the time of the heartbeat, by this clock.

        SAQ's own sweep uses the clocks of others, takes a job without a sign during an outage for lost, and can end or
        repeat a job that its worker finishes meanwhile.
        """
        known, self._silent = self._silent, {}  # if the next line fails, the silence starts again
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
        job.error, job.started, job.touched = "no sign of its worker", 0, now()
        if not await self._swap(job, stored):
            return False  # its worker lives
        outcome = "queued again" if job.status is Status.QUEUED else "given up"
        logger.warning("a worker was not heard of: its job %s is %s", job.function, outcome, extra={"key": job.key})
        if job.status is Status.ABORTED:
            self._tell_end(job)
        return True

    def _tell_end(self, job: Waiting) -> None:
        duration = max(0, now() - job.meta.get("began", job.queued)) / 1000
        emit(JobFinished(job.function, job.status.value, duration, job.attempts))

    @abstractmethod
    async def _held(self) -> list[tuple[Waiting, bytes]]:
        """Return the jobs that workers have taken, each with its stored form."""

    @abstractmethod
    async def _swap(self, job: Waiting, stored: bytes | str, scheduled: int = 0) -> bool:
        """Replace the stored form of a job that is queued or ended, and return false if that has changed.

        A queued job is due at `scheduled`, or now.
        """


def out_of_step(seconds: float) -> float:
    """Return a part of a time: workers in step would offer an unknown job to the same one again and again."""
    return seconds * random.uniform(0.5, 1)  # noqa: S311
