"""The guard before one service: a call passes bulkhead, breaker and time limit, and is made again where it may be."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from app.core.telemetry import CallFinished, CallRetried, emit
from app.extensions.outbound.breaker import Breaker
from app.extensions.outbound.errors import CallFailed, CallsExhausted
from app.extensions.outbound.gate import Gate
from app.extensions.outbound.retries import Attempts
from app.extensions.outbound.settings import Policy
from app.extensions.outbound.storage import Storage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error says of the service. `reason` is a status code or a name, never a text with what was sent."""

    reason: str
    again: bool = True
    """Whether another attempt may do better."""
    ill: bool = True
    """Whether it counts against the service: one that is merely busy is not ill."""
    retry_after: float | None = None


Judge = Callable[[Exception], Failure | None]
"""Tells the service's failures from errors that are the caller's own: those are None, and pass through."""


class Guard:
    """What all calls to one service share."""

    def __init__(self, service: str, policy: Policy, storage: Storage | None = None) -> None:
        self.service = service
        self.policy = policy
        self.breaker = Breaker(service, policy)
        self.gate = Gate(self.breaker, policy, storage)
        self._tasks = asyncio.Semaphore(policy.concurrency)
        self._threads = BoundedSemaphore(policy.concurrency)

    async def call(self, made: Callable[[], Awaitable[T]], *, method: str, repeatable: bool, judge: Judge) -> T:
        """Call the service: `made` once, and again where it fails and may be repeated.

        Raises:
            CallFailed: the service failed, is left alone for now, or has too many calls already.
        """
        course = Course(self, method, judge, repeatable=repeatable)
        with course.told():
            while True:
                await self._enter()
                try:
                    admission = await self.gate.admit()
                    try:
                        with course.attempt():
                            async with asyncio.timeout(course.attempts.seconds()):
                                return course.ended(await made())
                    finally:
                        await self.gate.settle(admission, course.succeeded)
                finally:
                    self._tasks.release()
                await asyncio.sleep(course.pause)

    def call_from_thread(self, made: Callable[[], T], *, method: str, repeatable: bool, judge: Judge) -> T:
        """The same without `await`. Nothing stops a thread: the deadline only keeps more attempts from starting."""
        course = Course(self, method, judge, repeatable=repeatable)
        with course.told():
            while True:
                if not self._threads.acquire(timeout=self.policy.patience):
                    raise CallsExhausted(self.service, "CallsExhausted")
                try:
                    admission = self.gate.admit_from_thread()
                    try:
                        with course.attempt():
                            return course.ended(made())
                    finally:
                        self.gate.settle_from_thread(admission, course.succeeded)
                finally:
                    self._threads.release()
                time.sleep(course.pause)

    async def _enter(self) -> None:
        if not self._tasks.locked():  # then it takes no time, and needs no clock
            await self._tasks.acquire()
            return
        try:
            async with asyncio.timeout(self.policy.patience):
                await self._tasks.acquire()
        except TimeoutError:
            raise CallsExhausted(self.service, "CallsExhausted") from None


class Course:
    """One call, with what becomes of each attempt at it."""

    def __init__(self, guard: Guard, method: str, judge: Judge, *, repeatable: bool) -> None:
        self.attempts = Attempts(guard.policy, repeatable=repeatable)
        self.pause = 0.0
        self.succeeded: bool | None = None
        """How the attempt ended; None where it says nothing of the service, as a cancelled one."""
        self._guard = guard
        self._method = method
        self._judge = judge
        self._outcome = "ok"

    def ended(self, result: T) -> T:
        """Note what an answer says of itself, and hand it on."""
        self._outcome = str(getattr(result, "status_code", "ok"))
        return result

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One attempt. Ends without an error where the next one is due after `pause` seconds."""
        self.attempts.made += 1
        self.succeeded = None
        try:
            yield
            self.succeeded = True
        except Exception as error:
            failure = Failure("TimeoutError") if isinstance(error, TimeoutError) else self._judge(error)
            self.succeeded = failure is None or not failure.ill
            if failure is None:
                raise
            pause = self.attempts.pause(failure.retry_after) if failure.again else None
            if pause is None:
                raise CallFailed(self._guard.service, failure.reason, retry_after=failure.retry_after) from error
            emit(CallRetried(self._guard.service, self._method, failure.reason))
            self.pause = pause

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell how the call ended."""
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self._outcome = error.reason if isinstance(error, CallFailed) else type(error).__name__
            raise
        finally:
            seconds = time.perf_counter() - started
            emit(CallFinished(self._guard.service, self._method, self._outcome, seconds, self.attempts.made))
