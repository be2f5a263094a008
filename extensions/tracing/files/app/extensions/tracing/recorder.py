"""The recorder: makes spans of requests, statements and calls while the service is open."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from threading import Thread
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from sqlalchemy import Engine

from app.core.component import Component, State
from app.core.settings import ServiceSettings
from app.core.telemetry import listening
from app.extensions.tracing.export import Export
from app.extensions.tracing.requests import RequestIds, Requests, Sampling
from app.extensions.tracing.settings import TracingSettings

CLIENTS = {
    "httpx2": ("opentelemetry.instrumentation.httpx", "HTTPX2ClientInstrumentor"),
    "redis": ("opentelemetry.instrumentation.redis", "RedisInstrumentor"),
}


@contextmanager
def traced_libraries(provider: TracerProvider, engine: Engine) -> Iterator[None]:
    """Trace statements, and calls of installed clients, until the block ends."""
    # The attribute names since 2023. It is read once in a process, by the first instrumentation.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
    instrumentors: list[Any] = [SQLAlchemyInstrumentor()]
    for library, (module, name) in CLIENTS.items():
        if find_spec(library):
            instrumentors.append(getattr(import_module(module), name)())
    for instrumentor in instrumentors:
        # They refuse versions that are newer than those they were tested with.
        instrumentor.instrument(tracer_provider=provider, engine=engine, skip_dep_check=True)
    try:
        yield
    finally:
        for instrumentor in instrumentors:
            instrumentor.uninstrument()


WAITING = 2048
"""The most spans that wait for the next sending; others are lost."""


def recorder(settings: TracingSettings, service: ServiceSettings) -> Component:

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # this extension warns once a minute
        provider = make_provider(settings, service)
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(provider)  # for spans of features; there is one a process
        with ExitStack() as stack:
            stack.enter_context(traced_libraries(provider, state["database"].engine.sync_engine))
            requests = Requests(provider.get_tracer("app"), settings.sample_rate, settings.trusted_callers)
            for event, listener in requests.listeners.items():
                stack.enter_context(listening(event, listener))
            yield {}
        await close(provider, settings.shutdown_timeout)

    return Component(name="tracing", lifespan=lifespan)


def make_provider(settings: TracingSettings, service: ServiceSettings) -> TracerProvider:
    """Return the provider, which makes spans and sends them from its own thread."""
    labels = {"service.name": service.name, "service.version": service.version}
    provider = TracerProvider(
        resource=Resource.create({**labels, "deployment.environment.name": service.environment}),
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
    """Send the rest, with a time limit. The SDK itself may wait half a minute, in a thread."""
    closing = Thread(target=provider.shutdown, name="tracing", daemon=True)
    closing.start()
    await asyncio.to_thread(closing.join, seconds)
