"""The outer ASGI wrapper: the ids, headers, limits and access record of a request, whatever becomes of it."""

import asyncio
import logging
import re
import sys
from time import perf_counter
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import telemetry
from app.core.context import RequestContext, enter
from app.core.errors import PROBLEM, BadRequest, ServiceError, ServiceUnavailable
from app.core.http import problems
from app.core.http.compression import Compression
from app.core.http.deadlines import Clock
from app.core.http.lifecycle import Lifecycle
from app.core.http.limits import BoundedBody, RequestRefused
from app.core.http.security import PROBES, HeaderList, HttpSettings, answers_to, cors_headers, headers, with_cors
from app.core.observability.access_log import AccessLog

logger = logging.getLogger(__name__)
BODILESS = frozenset({204, 304})
"""Statuses whose answer ends with its headers (RFC 9112, 6.3): a body would be taken for the next answer."""
DESCRIBES_BODY = frozenset({b"content-length", b"content-type", b"transfer-encoding"})
_NO_GZIP = re.compile(rb"gzip *; *q=0(?:\.0*)? *(?:,|$)")


class Outer:
    """Stands outside everything, so that a 500, a 413 and a preflight have ids, headers and a record too."""

    def __init__(
        self,
        app: ASGIApp,
        settings: HttpSettings,
        access: AccessLog,
        lifecycle: Lifecycle,
        pages: dict[str, HeaderList],
    ) -> None:
        self.app = app
        self.browser = browser = with_cors(app, settings)
        self.stacks: dict[tuple[bool, bool], ASGIApp] = {
            (False, False): app,
            (True, False): browser,
            (False, True): Compression(app),
            (True, True): Compression(browser),
        }
        self.access = access
        self.lifecycle = lifecycle
        self.body_limit = settings.body_limit
        self.receive_timeout = settings.receive_timeout
        self.clock = Clock(settings.request_timeout)
        self.trusted = () if "*" in settings.trusted_hosts else tuple(host.lower() for host in settings.trusted_hosts)
        self.headers = headers(settings)
        self.replaceable = {name for name, _ in self.headers} - {b"vary"}
        self.pages = pages
        """Headers of the pages that need a policy of their own, by path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] != "http":
            await (self._lifespan if scope["type"] == "lifespan" else self.app)(scope, receive, send)
            return
        given = dict(scope["headers"])
        client = scope["client"]
        request = RequestContext(
            method=scope["method"],
            path=scope["path"],
            client=client[0] if client else "",
            body_limit=self.body_limit,
            body_seconds=self.receive_timeout,
        )
        request.identify(given.get(b"x-correlation-id"), given.get(b"traceparent"))
        enter(request)
        if telemetry.anyone_listens_to(telemetry.RequestStarted):
            telemetry.emit(telemetry.RequestStarted(request.method, request.path))
        exchange = Exchange(self, scope, request, send, given.get(b"origin"))
        stack = self.stacks[b"origin" in given, _accepts_gzip(given.get(b"accept-encoding", b""))]
        length = given.get(b"content-length")
        body = BoundedBody(receive, request, length, exchange.refuse, exchange.extend, exchange.gone)
        try:
            if self.trusted and request.path not in PROBES and not answers_to(given.get(b"host", b""), self.trusted):
                await exchange.refuse(BadRequest("the Host header names no host of this service"))
                return
            await stack(scope, body, exchange.send)
        except RequestRefused:
            return
        except ClientDisconnect as error:  # nobody reads the answer; the record has its status
            await self._answer(exchange, BadRequest("the body did not arrive whole"), error)
        except ServiceError as error:  # raised by a component's middleware, where no handler of FastAPI sees it
            await self._answer(exchange, error, error)
        except asyncio.CancelledError as error:
            if not exchange.deadline.expired or exchange.deadline.task is None:
                raise  # the server gives up, not we
            exchange.deadline.task.uncancel()
            self.clock.stop(exchange.deadline)
            logger.warning("gave up a request after %g seconds", self.clock.seconds)
            given_up = ServiceUnavailable("the request took too long and was given up")
            await self._answer(exchange, problems.stored_in_part() if request.stored else given_up, error)
        except Exception as error:  # logged, and answered with the last-resort 500
            logger.exception("unexpected error")
            telemetry.emit(telemetry.RequestFailed(error, route_template(scope)))
            if not exchange.finished:  # a background task may fail: the client has its whole answer then
                await self._answer(exchange, problems.InternalError(), error)
        finally:
            exchange.finish()

    async def _answer(self, exchange: "Exchange", answer: ServiceError, cause: BaseException) -> None:
        if exchange.finished:
            logger.warning("something failed after the answer", exc_info=cause)
        elif exchange.started:
            raise cause  # too late for an answer: the server cuts the connection, and nobody takes half for the whole
        else:
            await exchange.refuse(answer)

    def record(self, scope: Scope, request: RequestContext) -> None:
        """Write the access record, and tell of the finished request."""
        duration = perf_counter() - request.started
        route = route_template(scope)
        self.access(request, route, duration)
        if telemetry.anyone_listens_to(telemetry.RequestFinished):
            telemetry.emit(
                telemetry.RequestFinished(
                    request.method, route, request.status, duration, request.received, request.sent, request.path
                )
            )

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_one_line(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, ServiceError):
                message = {**message, "message": error.message}
            await send(message)

        try:
            await self.app(scope, receive, send_one_line)
        except ServiceError:
            return  # told in one line already; the server exits because of it


class Exchange:
    """The answer of one request on its way out. Its last byte ends the request, though background tasks go on."""

    __slots__ = (
        "_send",
        "answered",
        "bodiless",
        "deadline",
        "finished",
        "origin",
        "outer",
        "request",
        "scope",
        "started",
    )

    def __init__(self, outer: Outer, scope: Scope, request: RequestContext, send: Send, origin: bytes | None) -> None:
        self.outer = outer
        self.scope = scope
        self.request = request
        self._send = send
        self.origin = origin
        self.deadline = outer.clock.start()
        self.started = False
        self.answered = False
        self.bodiless = False
        self.finished = False

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, unless the request has been refused meanwhile."""
        if self.answered:
            return
        last = False
        if message["type"] == "http.response.start":
            self.started = True
            self._head(message)
        elif message["type"] == "http.response.body":
            if self.bodiless:
                message["body"] = b""
            self.request.sent += len(message.get("body", b""))
            if message.get("more_body", False):
                self.extend()  # a stream may last, while the client takes what it is sent
            else:
                last = True
        await self._send(message)
        if last:
            self.finish()

    def gone(self) -> None:
        """End a request whose client has left in the middle of its answer: there will be no last byte."""
        if self.started:
            self.finish()

    def finish(self) -> None:
        """End the deadline and write the record, once: at the last byte, or where there will be none."""
        if not self.finished:
            self.finished = True
            self.outer.clock.stop(self.deadline)
            self.outer.record(self.scope, self.request)

    def extend(self) -> None:
        """Give the request its full time once more."""
        self.outer.clock.extend(self.deadline)

    async def refuse(self, error: ServiceError) -> None:
        """Answer with an error, in the application's place."""
        if self.started:
            self.answered = True
            return
        content = problems.body(error, self.request.path)
        given = [(b"content-type", PROBLEM.encode()), (b"content-length", str(len(content)).encode())]
        given += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        given += cors_headers(self.outer.browser, self.origin)
        await self.send({"type": "http.response.start", "status": error.status, "headers": given})
        await self.send({"type": "http.response.body", "body": content})
        self.answered = True

    def _head(self, message: Message) -> None:
        request = self.request
        request.status = message["status"]
        given = message.get("headers", ())
        ours = self.outer.pages.get(request.path, self.outer.headers)
        if chosen := self.outer.replaceable.intersection(name for name, _ in given):  # a route knows better
            ours = [header for header in ours if header[0] not in chosen]
        correlation = (b"x-correlation-id", request.correlation_id.encode())
        self.bodiless = request.status in BODILESS
        if self.bodiless:
            given = [header for header in given if header[0] not in DESCRIBES_BODY]
        message["headers"] = [*given, *ours, *request.headers, correlation]
        if self.outer.lifecycle.draining:
            message["headers"].append((b"connection", b"close"))


def _accepts_gzip(encodings: bytes) -> bool:
    return b"gzip" in encodings and _NO_GZIP.search(encodings) is None


def route_template(scope: Scope) -> str:
    """The path of the matched route, as it was declared with its prefix; `unmatched` where there is none."""
    effective: Any = scope.get("fastapi", {}).get("effective_route_context")
    path = effective.path if effective is not None else getattr(scope.get("route"), "path", None)
    return path or "unmatched"
