"""What is known of the request that is being served: its ids, its route and who sent it."""

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

    __slots__ = (
        "before_commit",
        "body_limit",
        "body_seconds",
        "client",
        "code",
        "correlation_id",
        "headers",
        "method",
        "parent_id",
        "path",
        "principal",
        "received",
        "sent",
        "span_id",
        "started",
        "status",
        "stored",
        "trace_flags",
        "trace_id",
    )

    def __init__(
        self, *, method: str = "", path: str = "", client: str = "", body_limit: int = 0, body_seconds: float = 0.0
    ) -> None:
        self.method = method
        self.path = path
        self.client = client
        self.body_limit = body_limit
        """Bytes. A route that takes more raises it, in a dependency, before it reads the body itself."""
        self.body_seconds = body_seconds
        """Seconds in which the body has to arrive. A route that takes more of it raises this as well."""
        self.before_commit: list[Callable[[Any], Awaitable[None]]] = []
        """Called with the session of each transaction, as its last statements."""
        self.headers: list[tuple[bytes, bytes]] = []
        """Headers that the answer gets, whatever becomes of the request."""
        self.principal: str | None = None
        """The user or the key that the request comes from, once that is known."""
        self.code: str | None = None
        self.correlation_id = ""
        self.trace_id = ""
        self.trace_flags = "00"
        self.parent_id = ""
        """The span of the caller, where it named one."""
        self.span_id = ""
        """The span that this request is, where something records spans."""
        self.status = 0
        self.stored = False
        """Whether a transaction of this request is, or may be, committed: "try again" would be the wrong advice."""
        self.received = 0
        self.sent = 0
        self.started = time.perf_counter()

    def identify(self, correlation_id: bytes | None, traceparent: bytes | None) -> None:
        """Take over the caller's ids where they are well-formed, and make what is missing."""
        trace = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if trace:
            self.trace_id, self.parent_id, self.trace_flags = (part.decode() for part in trace.groups())
        else:
            self.trace_id = f"{random.getrandbits(128):032x}"  # an id is no secret
        given = correlation_id is not None and _CORRELATION_ID.fullmatch(correlation_id)
        self.correlation_id = correlation_id.decode() if given and correlation_id else self.trace_id


_current: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def enter(context: RequestContext) -> None:
    """Make this the request that is being served.

    It is never reset: the server runs each request in a task of its own, and what it logs after the service has
    answered (a broken connection, say) then still carries the id.
    """
    _current.set(context)


def current() -> RequestContext | None:
    """The request that is being served, or nothing outside one (at the start, say)."""
    return _current.get()


def ids() -> dict[str, Any]:
    """The ids for a log line: empty outside a request."""
    context = _current.get()
    return {"correlation_id": context.correlation_id, "trace_id": context.trace_id} if context else {}


def outgoing_headers() -> dict[str, str]:
    """The headers that carry the ids to the next service (https://www.w3.org/TR/trace-context/)."""
    context = _current.get()
    if context is None:
        return {}
    span_id = context.span_id or os.urandom(8).hex()
    return {
        "X-Correlation-ID": context.correlation_id,
        "traceparent": f"00-{context.trace_id}-{span_id}-{context.trace_flags}",
    }
