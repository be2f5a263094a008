"""The recorder: makes spans while the service is open, and bounds how long a stop waits for those not yet sent."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from threading import Thread

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from app.core.component import Component, State
from app.core.settings import ServiceSettings
from app.core.telemetry import listening
from app.extensions.tracing.export import Export
from app.extensions.tracing.libraries import traced_libraries
from app.extensions.tracing.requests import Requests
from app.extensions.tracing.sampling import RequestIds, Sampling
from app.extensions.tracing.settings import TracingSettings

WAITING = 2048
"""Spans that are kept for the next sending; what is more is lost."""


def recorder(settings: TracingSettings, service: ServiceSettings) -> Component:
    """The component."""

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what is lost is said by us, once a minute
        provider = make_provider(settings, service)
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(provider)  # so that spans of one's own go the same way; there is one a process
        with ExitStack() as stack:
            stack.enter_context(traced_libraries(provider, state["database"].engine.sync_engine))
            requests = Requests(provider.get_tracer("app"), settings.sample_rate)
            for event, listener in requests.listeners.items():
                stack.enter_context(listening(event, listener))
            yield {}
        await close(provider, settings.shutdown_timeout)

    return Component(name="tracing", lifespan=lifespan)


def make_provider(settings: TracingSettings, service: ServiceSettings) -> TracerProvider:
    """What makes spans, and sends them from a thread of its own."""
    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.name": service.name,
                "service.version": service.version,
                "deployment.environment.name": service.environment,
            }
        ),
        sampler=Sampling(settings.sample_rate),
        id_generator=RequestIds(),
        shutdown_on_exit=False,
    )
    export = Export(
        endpoint=f"{(settings.endpoint or '').rstrip('/')}/v1/traces",
        headers=settings.header_map(),
        timeout=settings.timeout,
    )
    provider.add_span_processor(
        BatchSpanProcessor(export, max_queue_size=WAITING, schedule_delay_millis=settings.flush_interval * 1000)
    )
    return provider


async def close(provider: TracerProvider, seconds: float) -> None:
    """Send what is left, for so long. The SDK waits half a minute: it may do so in a thread that nobody waits for."""
    closing = Thread(target=provider.shutdown, name="tracing", daemon=True)
    closing.start()
    await asyncio.to_thread(closing.join, seconds)
