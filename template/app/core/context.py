"""The context of the current request: its ids, its limits and its caller."""

import os
import random
import re
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

_CORRELATION_ID = re.compile(rb"[A-Za-z0-9._\-]{8,64}")
# https://www.w3.org/TR/trace-context/#traceparent-header: version ff and all-zero ids are invalid.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class RequestContext:
    """One request, from its first byte to its access record."""

    principal_checks: tuple[Callable[[str], None], ...] = ()
    """Called with each authenticated caller: they may refuse it by raising an error."""
    code: str | None = None
    root_path = ""
    """The prefix that the path has for clients of a proxy: `/shop`. `path` is without it."""
    user_agent: str | None = None
    correlation_id = ""
    trace_id = ""
    trace_flags = "00"
    parent_id = ""
    """The span of the caller, if it sent one."""
    span_id = ""
    """The span of this request, if spans are recorded."""
    status = 0
    stored = False
    """A transaction of this request is, or may be, committed: a retry may store it twice."""
    streams = False
    """The response is sent in parts, which may take long: such a request is not slow."""
    received = 0
    sent = 0

    def __init__(
        self, *, method: str = "", path: str = "", client: str = "", body_limit: int = 0, body_seconds: float = 0.0
    ) -> None:
        self.method = method
        self.path = path
        self.client = client
        self.body_limit = body_limit
        """Bytes. A route that takes more raises it in a dependency, and then reads the body itself."""
        self.body_seconds = body_seconds
        """Seconds in which the body has to arrive. A route that takes more raises this as well."""
        self.before_commit: list[Callable[[Any], Awaitable[None]]] = []
        """Called with the session of each transaction, just before its commit."""
        self.headers: list[tuple[bytes, bytes]] = []
        """Headers of the response, whether the request succeeds or fails."""
        self.started = time.perf_counter()

    _principal: str | None = None

    @property
    def principal(self) -> str | None:
        """The authenticated caller, such as `user:ada`."""
        return self._principal

    @principal.setter
    def principal(self, principal: str | None) -> None:
        self._principal = principal
        if principal:
            for check in self.principal_checks:
                check(principal)

    def identify(self, correlation_id: bytes | None, traceparent: bytes | None) -> None:
        """Take the caller's ids if they are well-formed, and make the missing ones."""
        trace = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if trace:
            self.trace_id, self.parent_id, self.trace_flags = (part.decode() for part in trace.groups())
        else:
            self.trace_id = f"{random.getrandbits(128):032x}"  # an id is not secret
        given = correlation_id is not None and _CORRELATION_ID.fullmatch(correlation_id)
        self.correlation_id = correlation_id.decode() if given and correlation_id else self.trace_id


_current: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def enter(context: RequestContext) -> None:
    """Make this the current request.

    It is never reset: the server runs each request in a task of its own, so that its log lines after the response
    still have the id.
    """
    _current.set(context)


def current() -> RequestContext | None:
    """Return the current request, or `None` outside one, such as at the start."""
    return _current.get()


def ids() -> dict[str, Any]:
    """Return the ids for a log line; none outside a request."""
    context = _current.get()
    return {"correlation_id": context.correlation_id, "trace_id": context.trace_id} if context else {}


def outgoing_headers() -> dict[str, str]:
    """Return the headers that carry the ids to the next service (https://www.w3.org/TR/trace-context/)."""
    context = _current.get()
    if context is None:
        return {}
    span_id = context.span_id or os.urandom(8).hex()
    return {
        "X-Correlation-ID": context.correlation_id,
        "traceparent": f"00-{context.trace_id}-{span_id}-{context.trace_flags}",
    }
