"""Transactions: of a share of the requests how long they took, and what in them."""

import random
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import sentry_sdk
from sentry_sdk.tracing import Transaction

from app.core import context
from app.core.telemetry import CacheRead, CallFinished, QueryFinished, RequestFinished, RequestStarted

UNTRACED = frozenset({"/health", "/health/live", "/health/ready", "/health/startup", "/metrics"})
"""What machines ask every few seconds would drown what people ask."""

_transaction: ContextVar[Transaction | None] = ContextVar("transaction", default=None)


class Started:
    """Begins one for a share of the requests. It is drawn here: the SDK takes 0.1 ms to find that it wants none."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, event: RequestStarted) -> None:
        """Begin one, perhaps."""
        request = context.current()
        if request is None or event.path in UNTRACED or random.random() >= self.share:  # noqa: S311  # no secret
            _transaction.set(None)
            return
        transaction = Transaction(
            op="http.server",
            name=event.method,
            source="route",
            trace_id=request.trace_id,
            parent_span_id=request.parent_id or None,
            sampled=True,
        )
        sentry_sdk.start_transaction(transaction)
        transaction.sample_rate = self.share  # by which Sentry counts them up
        _transaction.set(transaction)
        request.span_id, request.trace_flags = transaction.span_id, "01"


def finished(event: RequestFinished) -> None:
    """End it, with what is known only now."""
    transaction = _transaction.get()
    if transaction is not None:
        transaction.name = f"{event.method} {event.route}"
        transaction.set_http_status(event.status)
        transaction.finish()


def spent(kind: str, what: str, seconds: float) -> None:
    """A part of the request has ended just now."""
    transaction = _transaction.get()
    if transaction is not None and transaction.timestamp is None:  # set where it has been sent: the answer is out
        now = datetime.now(UTC)
        part = transaction.start_child(op=kind, name=what, start_timestamp=now - timedelta(seconds=seconds))
        part.finish(end_timestamp=now)


def listeners(share: float) -> dict[type[tuple[Any, ...]], Callable[[Any], None]]:
    """What listens to what, where this share of the requests is to be sent."""
    return {
        RequestStarted: Started(share),
        RequestFinished: finished,
        QueryFinished: lambda event: spent("db.query", event.statement, event.duration),
        CacheRead: lambda event: spent("cache.get", event.cache, event.duration),
        CallFinished: lambda event: spent("http.client", f"{event.method} {event.service}", event.duration),
    }
