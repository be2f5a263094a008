"""The limits of a request: the time of its work, and the time and size of its body."""

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, NoReturn

from starlette.types import Message, Receive

from app.core.errors import BodyTooLarge, RequestTimedOut, ServiceError

if TYPE_CHECKING:
    from app.core.http.request_middleware import ResponseWriter


@dataclass(slots=True, eq=False)
class Deadline:
    """The time until which one request may run."""

    task: "asyncio.Task[object] | None"
    due: float
    expired: bool = False


class DeadlineTimer:
    """Cancels requests that take too long. One timer for all: one for each takes 7 % of a small request."""

    def __init__(self, seconds: float, *later: float) -> None:
        self.seconds = seconds
        self._interval = min(1.0, *(limit / 10 for limit in (seconds, *later)))
        self._running: set[Deadline] = set()
        self._armed = False

    def start(self) -> Deadline:
        """Watch the running task."""
        deadline = Deadline(asyncio.current_task(), perf_counter() + self.seconds)
        self._running.add(deadline)
        if not self._armed:
            self._arm()
        return deadline

    def extend(self, deadline: Deadline, seconds: float) -> None:
        deadline.due = perf_counter() + seconds

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

    __slots__ = ("complete", "deadline", "length", "receive", "writer")

    def __init__(self, receive: Receive, length: bytes | None, writer: "ResponseWriter") -> None:
        self.receive = receive
        self.length = int(length) if length and length.isdigit() else 0
        self.writer = writer
        self.deadline = 0.0
        self.complete = False

    async def __call__(self) -> Message:
        """Return the next message of the request.

        Raises:
            RequestRefused: the body is too large (413) or too slow (408), and this is answered.
        """
        if self.complete:  # the application waits for a disconnect, which may take long
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self.writer.client_gone()
            return message
        request = self.writer.request
        limit, seconds = request.body_limit, request.body_seconds
        if self.length > limit:
            await self._refuse(BodyTooLarge(f"the body is larger than {limit} bytes"))
        self.deadline = self.deadline or asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self.receive()
        except TimeoutError:
            await self._refuse(RequestTimedOut(f"the body did not arrive within {seconds:g} seconds"))
        request.received += len(message.get("body", b""))
        if request.received > limit:
            await self._refuse(BodyTooLarge(f"the body is larger than {limit} bytes"))
        self.complete = not message.get("more_body", False)
        self.writer.extend()
        return message

    async def _refuse(self, error: ServiceError) -> NoReturn:
        await self.writer.refuse(error)
        raise RequestRefused
