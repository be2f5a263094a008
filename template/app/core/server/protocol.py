"""One connection, as uvicorn serves it: it lets go of clients that are too slow, and answers with problems."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.core import context
from app.core.component import Component, State
from app.core.context import RequestContext
from app.core.errors import PROBLEM, BadRequest, HeadersTooLarge, RequestTimedOut, ServiceError
from app.core.http import problems
from app.core.http.security import HttpSettings

logger = logging.getLogger(__name__)
LINGER = 2.0
"""Seconds for which the rest of a body is read and thrown away after an answer that did not wait for it."""
HEADERS = 65_536
"""The most bytes of headers that are read, give or take a piece."""
PIECE = 16_384
LAST_CALL = 0.5
"""Seconds in which a connection may bring one more request when the service stops: it can be on its way already."""


class PromptProtocol(HttpToolsProtocol):
    """HTTP/1.1 in which headers arrive in time and answers are taken in time (uvicorn alone waits for ever)."""

    _headers_due: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _unread: socket.socket | None = None
    _last_call = False
    _incomplete: object = None
    """The scope of a request whose headers are not complete, and how many bytes of them there are."""
    _begun = 0

    @property
    def limits(self) -> HttpSettings:
        """The settings of the service behind this connection."""
        found = self.app_state.get("http")
        return found if isinstance(found, HttpSettings) else HttpSettings()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Give a new connection the time for its first request."""
        super().connection_made(transport)
        self._expect_headers()
        if getattr(self.server_state, "stopping", False):
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Give headers their time. Most arrive at once: a timer for those too takes 4 % of a small request."""
        if len(data) > PIECE:
            for start in range(0, len(data), PIECE):
                if not self.transport.is_closing():
                    self.data_received(data[start : start + PIECE])
            return
        super().data_received(data)
        if not self.scope or "method" not in self.scope:  # uvicorn sets it when the headers are complete
            self._expect_headers()
            if self._incomplete is not self.scope:  # another request, or the first piece of the first one
                self._incomplete, self._begun = self.scope, 0
            self._begun += len(data)
            if self._begun > HEADERS:
                self._refuse(HeadersTooLarge())
        elif self._headers_due is not None:
            self._headers_due = _disarmed(self._headers_due)
        if self._last_call and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Answer what is under way, or one more request, and close."""
        self._last_call = True
        if self._idle:
            self.loop.call_later(LAST_CALL, self._close_if_idle)
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """The client takes less than it is sent: give it its time."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.limits.stall_timeout, self._cut)

    def resume_writing(self) -> None:
        """It goes on."""
        self._stalled = _disarmed(self._stalled)
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Keep a connection that is closed while its client still sends: the kernel would take the answer back.

        RFC 9112, section 9.6.
        """
        super().on_response_complete()
        if self.cycle.more_body and self.transport.is_closing():
            self._keep()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._headers_due = _disarmed(self._headers_due)
        self._stalled = _disarmed(self._stalled)
        super().connection_lost(exc)
        if self._unread is not None:
            _linger(self.loop, self._unread)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP at all in the format of every other error."""
        del msg
        self._refuse(BadRequest("this is not valid HTTP"))

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._idle:
            super().shutdown()

    def _expect_headers(self) -> None:
        if self._headers_due is None:
            self._headers_due = self.loop.call_later(self.limits.header_timeout, self._let_go)

    def _let_go(self) -> None:
        self._refuse(RequestTimedOut(f"the headers did not arrive within {self.limits.header_timeout:g} seconds"))

    def _cut(self) -> None:
        logger.warning("cut a connection whose client took nothing for %s seconds", self.limits.stall_timeout)
        self.transport.abort()  # close() would wait for the client to take the rest

    def _keep(self) -> None:
        with suppress(OSError):  # no descriptors are left: then the answer may be lost
            self._unread = self.transport.get_extra_info("socket").dup()

    def _refuse(self, error: ServiceError) -> None:
        if self.transport.is_closing():
            return
        if not self._idle and not self.cycle.more_body:  # the answer to a request before it is on its way
            self.flow.pause_reading()
            self.cycle.keep_alive = False
        else:
            self._keep()
            copy_context().run(self._answer, error)  # the server's own context serves other connections too

    def _answer(self, error: ServiceError) -> None:
        request = RequestContext()
        request.identify(None, None)
        context.enter(request)
        logger.warning("refused what %s sent: %s", self.client[0] if self.client else "somebody", error.message)
        body = problems.body(error, "/")
        head = (
            f"HTTP/1.1 {error.status} {error.title}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\n"
            f"x-correlation-id: {request.correlation_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _linger(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    """Say that nothing more comes, and throw away what does, until the client ends too or its time is over."""

    def end() -> None:
        timer.cancel()
        loop.remove_reader(connection)
        connection.close()

    def discard() -> None:
        try:
            if not connection.recv(1 << 18):
                end()
        except BlockingIOError:
            return
        except OSError:
            end()

    timer = loop.call_later(LINGER, end)
    connection.setblocking(False)
    with suppress(OSError):  # it is gone already, which the first read tells as well
        connection.shutdown(socket.SHUT_WR)
    loop.add_reader(connection, discard)


def component(settings: HttpSettings) -> Component:
    """Hands the limits to each connection: the server knows the state of the service, and not its settings."""

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        yield {"http": settings}

    return Component(name="http", lifespan=lifespan)


def _disarmed(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
