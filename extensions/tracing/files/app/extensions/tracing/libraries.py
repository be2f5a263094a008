"""Libraries: statements of the database, and calls by what else is installed, become spans of their own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import Engine

CLIENTS = {
    "httpx2": ("opentelemetry.instrumentation.httpx", "HTTPX2ClientInstrumentor"),
    "redis": ("opentelemetry.instrumentation.redis", "RedisInstrumentor"),
}


@contextmanager
def traced_libraries(provider: TracerProvider, engine: Engine) -> Iterator[None]:
    """Until the block ends."""
    # The names of today instead of those of before 2023. Read once in a process, by the first instrumentation.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
    database = SQLAlchemyInstrumentor()
    instrumentors: list[Any] = [database]
    for library, (module, name) in CLIENTS.items():
        if find_spec(library):
            instrumentors.append(getattr(import_module(module), name)())
    for instrumentor in instrumentors:
        # They name the newest versions that they were tried with, and do nothing at all with a newer one.
        which = {"engine": engine} if instrumentor is database else {}
        instrumentor.instrument(tracer_provider=provider, skip_dep_check=True, **which)
    try:
        yield
    finally:
        for instrumentor in instrumentors:
            instrumentor.uninstrument()
