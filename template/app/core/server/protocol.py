"""One connection of uvicorn, within bounds: time, bytes of headers, and requests that wait for their turn."""

import asyncio
import logging
from contextvars import copy_context
from typing import Any

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.core import context
from app.core.context import RequestContext
from app.core.errors import PROBLEM, BadRequest, HeadersTooLarge, RequestTimedOut, ServiceError
from app.core.http import problems
from app.core.http.security import HttpSettings, headers
from app.core.server.websockets import is_handshake, is_too_large
from app.core.server.whole_response import WholeResponse

logger = logging.getLogger(__name__)
PIECE = 16_384
"""Bytes that are parsed at once: the next two bounds hold give or take a piece."""
MOST_HEADER_BYTES = 65_536
"""For the headers of a request, and for the trailers of a chunked body."""
MOST_WAITING = 16
"""Requests that a client may send ahead of their answers."""
LINGER = 2.0
"""Seconds to read and discard what a client still sends after its answer: closing at once would lose the answer."""


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with the bounds that uvicorn alone does not have."""

    _late: asyncio.TimerHandle | None = None
    """Refuses a request whose headers do not arrive in time."""
    _stalled: asyncio.TimerHandle | None = None
    """Cuts a client that takes nothing of its answer."""
    _discarding: asyncio.TimerHandle | None = None
    """Closes a connection whose client still sends a body that is already answered."""
    _counted = 0
    """Bytes of headers or trailers so far."""
    _running: RequestResponseCycle | None = None
    """The request that is being answered; uvicorn's `cycle` is the one that arrived last."""
    _refused = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        def answered_at_once(scope: Scope, receive: Receive, send: Send) -> Any:
            return app(scope, receive, WholeResponse(send).send)

        self.app = answered_at_once

    @property
    def limits(self) -> HttpSettings:
        """The settings of the service behind this connection."""
        return self.app_state.get("http") or HttpSettings()

    @property
    def _named(self) -> dict[str, str]:
        return {"client": self.client[0] if self.client else "unknown"}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Give a new connection the time for its first request, unless there are too many."""
        super().connection_made(transport)
        if self.client and self.client[0].startswith("::ffff:"):  # how a socket for both kinds names an IPv4 client
            self.client = (self.client[0].removeprefix("::ffff:"), self.client[1])
        if len(self.connections) > self.limits.connections:
            self._cut("came after HTTP__CONNECTIONS others")
        else:
            self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, piece by piece."""
        if len(data) <= PIECE:
            self._parse(data)
            return
        for start in range(0, len(data), PIECE):
            self._parse(data[start : start + PIECE])

    def _parse(self, piece: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._counted += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._counted = 0
            rest = piece[upgrade.args[0] :]
            if self._should_upgrade():
                self._upgrade(rest)
            else:  # to no protocol that is spoken here: the rest is HTTP too
                self._parse(rest)
            return
        except httptools.HttpParserError:
            if len(self.pipeline) <= MOST_WAITING:
                self._refuse(BadRequest("this is not valid HTTP"))
                return
        if self._counted > MOST_HEADER_BYTES:
            self._refuse(HeadersTooLarge())
        elif len(self.pipeline) > MOST_WAITING:
            self._cut(f"sent more than {MOST_WAITING} requests ahead of their answers")
        elif not self.scope or "method" not in self.scope:  # uvicorn sets it when the headers are complete
            self._expect_headers()
        else:
            self._late = _cancelled(self._late)

    def _should_upgrade(self) -> bool:
        scope = self.scope
        return super()._should_upgrade() and is_handshake(scope["method"], scope["http_version"], scope["headers"])

    def _upgrade(self, rest: bytes) -> None:
        """Hand the connection over to a WebSocket, and do as if it were closed."""
        if rest or (self._running is not None and not self._running.response_complete):
            self._refuse(BadRequest("the handshake of a WebSocket comes after all answers, and before all messages"))
        elif is_too_large(self.url, self.headers):
            self._refuse(HeadersTooLarge())
        else:
            self._refused = True
            self._forget_timers()
            self.handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """Parse no more requests than may wait. Only a request keeps an idle connection open, and no empty lines."""
        if len(self.pipeline) > MOST_WAITING:
            raise OverflowError
        self._unset_keepalive_if_required()
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Count trailers from the last part of the body on."""
        self._counted = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Count the headers of the next request from here on."""
        self._counted = 0
        super().on_message_complete()
        if self.cycle is not None:  # it is at the handshake of a WebSocket
            self.cycle.more_body = False  # uvicorn leaves it where the answer came first
        self._discarding = _cancelled(self._discarding)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Let a client that still sends its body read the answer (RFC 9112, section 9.6)."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()
        elif self.cycle.response_complete and self.cycle.more_body:
            self._discarding = self.loop.call_later(LINGER, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection once the client has taken its answers."""
        super().timeout_keep_alive_handler()
        self._expect_reading()

    def pause_writing(self) -> None:
        """Limit the time in which the client may take nothing."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        if not self.transport.is_closing():  # a closed connection has to take all
            self._stalled = _cancelled(self._stalled)
        super().resume_writing()

    def shutdown(self) -> None:
        """Let the request finish, but for a stream of events, which may have no end: its client connects again."""
        cycle = self._running
        if cycle is not None and getattr(cycle, "events", False) and not cycle.response_complete:
            self.transport.write(b"0\r\n\r\n" if cycle.chunked_encoding else b"")
            cycle.disconnected = True
            cycle.message_event.set()
            self.timeout_keep_alive_handler()
        super().shutdown()

    def _forget_timers(self) -> None:
        for timer in (self._late, self._stalled, self._discarding):
            _cancelled(timer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timers()
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        if self._late is None:
            seconds = self.limits.header_timeout
            late = RequestTimedOut(f"the headers did not arrive within {seconds:g} seconds")
            self._late = self.loop.call_later(seconds, self._refuse, late)

    def _expect_reading(self) -> None:
        if self._stalled is None:
            seconds = self.limits.stall_timeout
            self._stalled = self.loop.call_later(seconds, self._cut, f"took nothing for {seconds} seconds")

    def _cut(self, reason: str) -> None:
        if not self._refused:  # one line is enough, though two limits may be reached in one turn of the loop
            self._refused = True
            logger.warning("cut a connection whose client %s", reason, extra=self._named)
        self.transport.abort()  # close() would wait for the client to take the rest

    def _refuse(self, error: ServiceError) -> None:
        """Take no more of this connection, and answer where that is possible."""
        if self._refused:
            return
        self._refused = True
        self._late = _cancelled(self._late)
        running, last = self._running, self.cycle
        if running is None or (running.response_complete and not last.more_body):
            copy_context().run(self._answer, error)  # the server's own context serves other connections too
        elif running.response_complete or (running.more_body and running.response_started):
            self.timeout_keep_alive_handler()
        elif running.more_body:
            running.disconnected = True
            running.message_event.set()
            copy_context().run(self._answer, error)
        else:  # the requests before it keep their answers
            if last.more_body:
                self.pipeline.popleft()
                last = self.pipeline[0][0] if self.pipeline else running
            self.flow.pause_reading()
            last.keep_alive = False

    def _answer(self, error: ServiceError) -> None:
        request = RequestContext()
        request.identify(None, None)
        context.enter(request)
        logger.warning("refused a request: %s", error.message, extra=self._named)
        body = problems.body(error, "/")
        head = (
            f"HTTP/1.1 {error.status} {error.title}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\n"
            f"x-correlation-id: {request.correlation_id}\r\nconnection: close\r\n"
        )
        common = b"".join(b"%s: %s\r\n" % header for header in headers(self.limits))
        self.transport.write(head.encode() + common + b"\r\n" + body)
        self.transport.write_eof()
        self._discarding = self.loop.call_later(LINGER, self.timeout_keep_alive_handler)


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
