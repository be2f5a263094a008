"""The reporter: sends unexpected errors from a thread of the SDK, with their ids and without secrets."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from time import monotonic
from typing import Any

import sentry_sdk
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event
from sentry_sdk.utils import event_from_exception

from app.core import context
from app.core.component import Component, State
from app.core.observability.redaction import loggable_path, redact, scrub
from app.core.observability.throttle import Throttle
from app.core.settings import ServiceSettings
from app.core.telemetry import RequestFailed, descriptions, listening
from app.extensions.sentry.settings import SentrySettings
from app.extensions.sentry.transactions import listeners

logger = logging.getLogger(__name__)


class Delivery(HttpTransport):
    """The transport: a bounded queue, for which no request waits."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._may_warn = Throttle()

    def _get_pool_options(self) -> dict[str, Any]:
        # An immediate retry does not help, and is logged each time. Redirects are not followed either.
        return {**super()._get_pool_options(), "retries": False}

    def on_dropped_event(self, _reason: str) -> None:
        if self._may_warn():
            logger.warning("sentry does not take what it is sent (%s): errors are in the log alone", _reason)


def completed(event: Event, _: Any) -> Event:
    """Return the event with the ids of its request, and without secrets.

    Only the first line of an error's message stays: the lines below hold values.
    """
    errors: Any = event.pop("exception", {})
    for error in errors.get("values", ()):
        error["value"] = scrub((error.get("value") or "").partition("\n")[0])
    clean: Any = redact(event)
    if errors:
        clean["exception"] = errors
    request = context.current()
    if request is None:
        return clean  # type: ignore[no-any-return]
    clean["tags"] = {**clean.get("tags", {}), "correlation_id": request.correlation_id, "trace_id": request.trace_id}
    if request.method:  # a job has ids, and is not a request
        clean["request"] = {"method": request.method, "url": loggable_path(request.path)}
    if request.principal is not None:
        clean["user"] = {"id": request.principal}
    if clean.get("type") != "transaction":
        clean.setdefault("contexts", {})["trace"] = {
            "trace_id": request.trace_id,
            "span_id": request.span_id or os.urandom(8).hex(),
        }
    return clean  # type: ignore[no-any-return]


MOST = 10
"""The most errors that a process reports in one second."""


def reporter(settings: SentrySettings, service: ServiceSettings) -> Component:

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        open_client(settings, service)
        client = sentry_sdk.get_client()
        with ExitStack() as stack:
            reports = Reports()
            stack.enter_context(listening(RequestFailed, reports))
            for event in descriptions("failure"):
                stack.enter_context(listening(event, reports))
            if settings.traces_sample_rate:
                for happened, listener in listeners(settings.traces_sample_rate).items():
                    stack.enter_context(listening(happened, listener))
            yield {}
        await asyncio.to_thread(client.close, timeout=settings.shutdown_timeout)
        sentry_sdk.get_global_scope().set_client(None)

    return Component(name="sentry", lifespan=lifespan)


def open_client(settings: SentrySettings, service: ServiceSettings) -> None:
    sentry_sdk.init(
        dsn=settings.dsn.get_secret_value() if settings.dsn else None,
        environment=settings.environment or service.environment,
        release=settings.release or f"{service.name}@{service.version}",
        # The integrations cost each request 0.1 ms, and collect data of requests.
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        enable_backpressure_handling=False,
        include_local_variables=False,  # they hold bodies and secrets
        in_app_include=["app"],
        spotlight=False,
        transport=Delivery,
        transport_queue_size=100,
        before_send=completed,
        before_send_transaction=completed,
        traces_sample_rate=settings.traces_sample_rate or None,
    )


class Reports:
    """Sends unexpected errors, a few in a second."""

    def __init__(self) -> None:
        self._second = 0
        self._made = 0

    def __call__(self, failed: Any) -> None:
        """Send an error, up to the limit: each takes 10 ms, for which other requests wait."""
        if getattr(failed, "retried", False):
            return  # the next try may succeed
        second = int(monotonic())
        self._made = self._made + 1 if second == self._second else 1
        self._second = second
        if self._made <= MOST:
            report(failed)


def report(failed: Any) -> None:
    """Send an error with its traceback, and the name of its route.

    Another event describes its name by `failure=(kind, field)`: ("job", "job") is `job send_receipt`.
    """
    event, hint = event_from_exception(
        failed.error,
        client_options=sentry_sdk.get_client().options,
        mechanism={"type": "service", "handled": False},
    )
    request = context.current()
    if names := descriptions("failure").get(type(failed)):
        kind, name = names[0], getattr(failed, names[1])
        event["transaction"], event["tags"] = f"{kind} {name}", {kind: name}
    else:
        event["transaction"] = f"{request.method} {failed.route}" if request else failed.route
    sentry_sdk.capture_event(event, hint)
