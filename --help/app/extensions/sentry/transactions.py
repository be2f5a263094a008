"""Transactions: the duration of a share of the requests, and of their parts."""

import random
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import sentry_sdk
from sentry_sdk.tracing import Transaction

from app.core import context
from app.core.telemetry import QueryFinished, RequestFinished, RequestStarted, descriptions

UNTRACED = frozenset({"/health", "/health/live", "/health/ready", "/health/startup", "/metrics"})
"""Probes of machines, every few seconds, are left out."""

_transaction: ContextVar[Transaction | None] = ContextVar("transaction", default=None)


class Started:
    """Begins a transaction for a share of the requests. The SDK itself takes 0.1 ms to decide that."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, event: RequestStarted) -> None:
        """Begin a transaction, if the request is in the share."""
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
        transaction.sample_rate = self.share  # Sentry extrapolates from it
        _transaction.set(transaction)
        request.span_id, request.trace_flags = transaction.span_id, "01"


def finished(event: RequestFinished) -> None:
    """End the transaction with its final name and status."""
    transaction = _transaction.get()
    if transaction is not None:
        transaction.name = f"{event.method} {event.route}"
        transaction.set_http_status(event.status)
        transaction.finish()


def spent(kind: str, what: str, seconds: float) -> None:
    """Add a part of the request that has just ended."""
    transaction = _transaction.get()
    if transaction is not None and transaction.timestamp is None:  # set after the answer was sent
        now = datetime.now(UTC)
        part = transaction.start_child(op=kind, name=what, start_timestamp=now - timedelta(seconds=seconds))
        part.finish(end_timestamp=now)


def listeners(share: float) -> dict[type[tuple[Any, ...]], Callable[[Any], None]]:
    """Return the listeners for this share of the requests. `span=(operation, name)` describes parts of extensions."""
    parts = {event: _part(*span) for event, span in descriptions("span").items()}
    return {
        RequestStarted: Started(share),
        RequestFinished: finished,
        QueryFinished: lambda event: spent("db.query", event.statement, event.duration),
        **parts,
    }


def _part(kind: str, name: str) -> Callable[[Any], None]:
    return lambda event: spent(kind, name.format(event), event.duration)
