"""The reporter: sends unexpected errors while the service is open, and bounds how long a stop waits for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from time import monotonic

import sentry_sdk
from sentry_sdk.utils import event_from_exception

from app.core import context
from app.core.component import Component, State
from app.core.settings import ServiceSettings
from app.core.telemetry import JobFailed, RequestFailed, listening
from app.extensions.sentry.delivery import Delivery
from app.extensions.sentry.events import completed
from app.extensions.sentry.settings import SentrySettings
from app.extensions.sentry.transactions import listeners

MOST = 10
"""Errors that a process reports in one second. When a busy route breaks, the first ones say it all."""


def reporter(settings: SentrySettings, service: ServiceSettings) -> Component:
    """The component."""

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        open_client(settings, service)
        client = sentry_sdk.get_client()
        with ExitStack() as stack:
            reports = Reports()
            stack.enter_context(listening(RequestFailed, reports))
            stack.enter_context(listening(JobFailed, reports))
            if settings.traces_sample_rate:
                for happened, listener in listeners(settings.traces_sample_rate).items():
                    stack.enter_context(listening(happened, listener))
            yield {}
        await asyncio.to_thread(client.close, timeout=settings.shutdown_timeout)
        sentry_sdk.get_global_scope().set_client(None)

    return Component(name="sentry", lifespan=lifespan)


def open_client(settings: SentrySettings, service: ServiceSettings) -> None:
    """Make the client that everything in this process sends with."""
    sentry_sdk.init(
        dsn=settings.dsn.get_secret_value() if settings.dsn else None,
        environment=settings.environment or service.environment,
        release=settings.release or f"{service.name}@{service.version}",
        # The integrations cost each request 0.1 ms, and collect what nobody asked for.
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
    """Sends the errors that nobody expected, a few in a second."""

    def __init__(self) -> None:
        self._second = 0
        self._made = 0

    def __call__(self, failed: RequestFailed | JobFailed) -> None:
        """Send one, unless there have been enough of late: each takes 10 ms to put together, which others wait for."""
        if isinstance(failed, JobFailed) and failed.retried:
            return  # the next try may go well
        second = int(monotonic())
        self._made = self._made + 1 if second == self._second else 1
        self._second = second
        if self._made <= MOST:
            report(failed)


def report(failed: RequestFailed | JobFailed) -> None:
    """Send an error with its traceback, as one of its route or of its job."""
    event, hint = event_from_exception(
        failed.error,
        client_options=sentry_sdk.get_client().options,
        mechanism={"type": "service", "handled": False},
    )
    request = context.current()
    if isinstance(failed, JobFailed):
        event["transaction"], event["tags"] = f"job {failed.job}", {"job": failed.job}
    else:
        event["transaction"] = f"{request.method} {failed.route}" if request else failed.route
    sentry_sdk.capture_event(event, hint)
