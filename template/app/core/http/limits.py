"""What a request may take: the size of its body and the time that it may need to arrive."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive

from app.core.context import RequestContext
from app.core.errors import BodyTooLarge, RequestTimedOut, ServiceError

Refuse = Callable[[ServiceError], Awaitable[None]]
Told = Callable[[], None]


class RequestRefused(Exception):
    """The request has been answered while its body was still on the way: nothing more is to be done for it."""


class BoundedBody:
    """`receive`, within a size and a deadline, with a length and without one.

    A refusal is answered here and at once: FastAPI makes a 400 of whatever `receive` raises.
    """

    __slots__ = ("arrived", "complete", "deadline", "gone", "length", "receive", "refuse", "request")

    def __init__(
        self, receive: Receive, request: RequestContext, length: bytes | None, refuse: Refuse, arrived: Told, gone: Told
    ) -> None:
        self.receive = receive
        self.request = request
        self.length = int(length) if length and length.isdigit() else 0
        self.deadline = 0.0
        self.refuse = refuse
        self.arrived = arrived
        """Called with each part: a request has its full time from the last one on."""
        self.gone = gone
        """Called where the client has left."""
        self.complete = False

    async def __call__(self) -> Message:
        """The next message of the request.

        Raises:
            RequestRefused: the body is too large (413) or too slow (408), and has been answered so.
        """
        if self.complete:  # what follows is the wait for a disconnect, which may last
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self.gone()
            return message
        limit = self.request.body_limit
        if self.length > limit:
            await self._refuse(BodyTooLarge(f"the body is larger than {limit} bytes"))
        loop = asyncio.get_running_loop()
        self.deadline = self.deadline or loop.time() + self.request.body_seconds
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self.receive()
        except TimeoutError:
            await self._refuse(RequestTimedOut(f"the body did not arrive within {self.request.body_seconds:g} seconds"))
            raise
        self.request.received += len(message.get("body", b""))
        if self.request.received > limit:
            await self._refuse(BodyTooLarge(f"the body is larger than {limit} bytes"))
        self.complete = not message.get("more_body", False)
        self.arrived()
        return message

    async def _refuse(self, error: ServiceError) -> None:
        error.headers["Connection"] = "close"  # what is left of the body will not be read
        await self.refuse(error)
        raise RequestRefused
