"""The guard before one service: bulkhead, circuit breaker, time limits and retries."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from app.core.telemetry import emit
from app.extensions.outbound.breaker import Breaker
from app.extensions.outbound.settings import CallFailed, CallFinished, CallRetried, CallsExhausted, Policy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """The meaning of an error for the service. `reason` is a status code or a name, without any data of the request."""

    reason: str
    again: bool = True
    """True if another attempt may succeed."""
    ill: bool = True
    """True if it counts against the service: a busy service is not ill."""
    retry_after: float | None = None


Judge = Callable[[Exception], Failure | None]
"""Returns None for errors of the caller, which pass through."""


class Guard:
    """The limits that all calls to one service share."""

    def __init__(self, service: str, policy: Policy) -> None:
        self.service = service
        self.policy = policy
        self.breaker = Breaker(service, policy)
        self._tasks = asyncio.Semaphore(policy.concurrency)
        self._threads = BoundedSemaphore(policy.concurrency)

    async def call(self, send: Callable[[], Awaitable[T]], *, method: str, repeatable: bool, judge: Judge) -> T:
        """Call the service: once, and again if it fails and is repeatable.

        Raises:
            CallFailed: the service failed, its breaker is open, or too many calls are running.
        """
        call = Call(self, method, judge, repeatable=repeatable)
        with call.reported():
            while True:
                await self._enter()
                try:
                    era = self.breaker.admit()
                    try:
                        with call.attempt():
                            async with asyncio.timeout(call.seconds()):
                                return call.ended(await send())
                    finally:
                        self.breaker.settle(era, call.succeeded)
                finally:
                    self._tasks.release()
                await asyncio.sleep(call.pause)

    def call_from_thread(self, send: Callable[[], T], *, method: str, repeatable: bool, judge: Judge) -> T:
        """Do the same in a thread. Nothing stops a thread: the deadline only prevents more attempts."""
        call = Call(self, method, judge, repeatable=repeatable)
        with call.reported():
            while True:
                if not self._threads.acquire(timeout=self.policy.patience):
                    raise CallsExhausted(self.service, "CallsExhausted")
                try:
                    era = self.breaker.admit()
                    try:
                        with call.attempt():
                            return call.ended(send())
                    finally:
                        self.breaker.settle(era, call.succeeded)
                finally:
                    self._threads.release()
                time.sleep(call.pause)

    async def _enter(self) -> None:
        if not self._tasks.locked():  # the common case needs no timer
            await self._tasks.acquire()
            return
        try:
            async with asyncio.timeout(self.policy.patience):
                await self._tasks.acquire()
        except TimeoutError:
            raise CallsExhausted(self.service, "CallsExhausted") from None


class Call:
    """One call with its attempts: exponential backoff with full jitter, `Retry-After`, and one deadline."""

    def __init__(self, guard: Guard, method: str, judge: Judge, *, repeatable: bool) -> None:
        self.made = 0
        self.pause = 0.0
        self.succeeded: bool | None = None
        """The end of the attempt; None if it says nothing about the service, such as a cancelled one."""
        self._guard = guard
        self._most = guard.policy.attempts if repeatable else 1
        self._end = time.monotonic() + guard.policy.deadline
        self._method = method
        self._judge = judge
        self._outcome = "ok"

    def seconds(self) -> float:
        """Return the time of the next attempt: its own limit, or the rest of the deadline."""
        return min(self._guard.policy.timeout, self._end - time.monotonic())

    def next_pause(self, retry_after: float | None) -> float | None:
        """Return the seconds until the next attempt, or None if there is none.

        Full jitter spreads callers best: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        if self.made >= self._most:
            return None
        policy = self._guard.policy
        most = min(policy.backoff_limit, policy.backoff * 2 ** (self.made - 1))
        pause = random.uniform(0, most) + (retry_after or 0)  # noqa: S311  # not a secret
        return pause if time.monotonic() + pause < self._end else None

    def ended(self, result: T) -> T:
        """Note the status of an answer, and return the answer."""
        self._outcome = str(getattr(result, "status_code", "ok"))
        return result

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Run one attempt. Ends without an error if the next one is due after `pause` seconds."""
        self.made += 1
        self.succeeded = None
        try:
            yield
            self.succeeded = True
        except Exception as error:
            failure = Failure("TimeoutError") if isinstance(error, TimeoutError) else self._judge(error)
            self.succeeded = failure is None or not failure.ill
            if failure is None:
                raise
            pause = self.next_pause(failure.retry_after) if failure.again else None
            if pause is None:
                raise CallFailed(self._guard.service, failure.reason, retry_after=failure.retry_after) from error
            emit(CallRetried(self._guard.service, self._method, failure.reason))
            self.pause = pause

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Emit the end of the call."""
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self._outcome = error.reason if isinstance(error, CallFailed) else type(error).__name__
            raise
        finally:
            seconds = time.perf_counter() - started
            emit(CallFinished(self._guard.service, self._method, self._outcome, seconds, self.made))
