"""The limits of a request: the size of its body, and the time that it may take."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import NoReturn

from starlette.types import Message, Receive

from app.core.context import RequestContext
from app.core.errors import BodyTooLarge, RequestTimedOut, ServiceError


class Deadline:
    """The time until which one request may run."""

    __slots__ = ("due", "expired", "task")

    def __init__(self, task: "asyncio.Task[object] | None", due: float) -> None:
        self.task = task
        self.due = due
        self.expired = False


class DeadlineTimer:
    """Cancels requests that take too long. One timer for all: one for each takes 7 % of a small request."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._interval = min(1.0, seconds / 10)
        self._running: set[Deadline] = set()
        self._armed = False

    def start(self) -> Deadline:
        """Watch the running task."""
        deadline = Deadline(asyncio.current_task(), perf_counter() + self.seconds)
        self._running.add(deadline)
        if not self._armed:
            self._arm()
        return deadline

    def extend(self, deadline: Deadline) -> None:
        deadline.due = perf_counter() + self.seconds

    def stop(self, deadline: Deadline) -> None:
        self._running.discard(deadline)

    def _arm(self) -> None:
        self._armed = True
        asyncio.get_running_loop().call_later(self._interval, self._check)

    def _check(self) -> None:
        self._armed = False
        now = perf_counter()
        for deadline in self._running:
            if now >= deadline.due and deadline.task is not None:
                deadline.expired = True
                deadline.due = now + self.seconds  # a commit is finished all the same: cancel again what follows it
                deadline.task.cancel()
        if self._running:
            self._arm()


class RequestRefused(Exception):
    """The request is answered while its body is still on the way: stop working on it."""


class BoundedBody:
    """`receive` within a size and a time, with and without a `Content-Length`.

    It answers a refusal itself and at once: FastAPI turns any error of `receive` into a 400.
    """

    __slots__ = ("arrived", "complete", "deadline", "gone", "length", "receive", "refuse", "request")

    def __init__(
        self,
        receive: Receive,
        request: RequestContext,
        length: bytes | None,
        *,
        refuse: Callable[[ServiceError], Awaitable[None]],
        arrived: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        self.receive = receive
        self.request = request
        self.length = int(length) if length and length.isdigit() else 0
        self.deadline = 0.0
        self.refuse = refuse
        self.arrived = arrived
        """Called with each part: the time of a request starts again with it."""
        self.gone = gone
        """Called when the client has left."""
        self.complete = False

    async def __call__(self) -> Message:
        """Return the next message of the request.

        Raises:
            RequestRefused: the body is too large (413) or too slow (408), and this is answered.
        """
        if self.complete:  # the application waits for a disconnect, which may take long
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self.gone()
            return message
        limit, seconds = self.request.body_limit, self.request.body_seconds
        if self.length > limit:
            await self._refuse(BodyTooLarge(f"the body is larger than {limit} bytes"))
        self.deadline = self.deadline or asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self.receive()
        except TimeoutError:
            await self._refuse(RequestTimedOut(f"the body did not arrive within {seconds:g} seconds"))
        self.request.received += len(message.get("body", b""))
        if self.request.received > limit:
            await self._refuse(BodyTooLarge(f"the body is larger than {limit} bytes"))
        self.complete = not message.get("more_body", False)
        self.arrived()
        return message

    async def _refuse(self, error: ServiceError) -> NoReturn:
        await self.refuse(error)
        raise RequestRefused
