"""The exporter: puts the metrics together, feeds them while the service is open, and serves them."""

import asyncio
import platform
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import Gauge, disable_created_metrics

from app.core.component import Component, State
from app.core.errors import ConfigurationInvalid
from app.core.server.serve import ServerSettings
from app.core.settings import ServiceSettings, Settings
from app.core.telemetry import listening
from app.extensions.prometheus.events import Events
from app.extensions.prometheus.exposition import metrics_router
from app.extensions.prometheus.listener import listening_on
from app.extensions.prometheus.processes import alone, share
from app.extensions.prometheus.requests import Requests
from app.extensions.prometheus.saturation import Saturation
from app.extensions.prometheus.settings import PrometheusSettings
from app.extensions.prometheus.textfiles import TextFiles

FRESH = 1.0
"""Seconds between two looks at the gauges of a process that another one may be asked for."""


def exporter(settings: Settings) -> Component:
    """The component.

    Raises:
        ConfigurationInvalid: the port for the metrics is the one of the service.
    """
    mine, server, service = settings.of(PrometheusSettings), settings.of(ServerSettings), settings.of(ServiceSettings)
    if mine.port == server.port:
        raise ConfigurationInvalid(
            f"PROMETHEUS__PORT: {mine.port} is SERVER__PORT: set another, or none to serve /metrics with the rest"
        )
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for
    shared = server.shared if server.workers > 1 else None
    registry, own = share(shared / "prometheus") if shared else alone()
    registry.register(TextFiles(mine.files))
    requests, events = Requests(own), Events(own)
    saturation = Saturation(own, requests)
    Gauge("build_info", "What runs.", ["version", "python"], registry=own, multiprocess_mode="livemax").labels(
        service.version, platform.python_version()
    ).set(1)
    router = metrics_router(registry, saturation.look, mine.token)

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        saturation.database = state.get("database")
        async with AsyncExitStack() as stack:
            for event, listener in [*requests.listeners.items(), *events.listeners.items()]:
                stack.enter_context(listening(event, listener))
            if shared:
                looking = asyncio.create_task(look_often(saturation))
                stack.callback(looking.cancel)
            if mine.port:
                await stack.enter_async_context(listening_on(server.host, mine.port, router, reuse=shared is not None))
            yield {"metrics": own}

    return Component(name="prometheus", routers=[] if mine.port else [router], lifespan=lifespan)


async def look_often(saturation: Saturation) -> None:
    """Keep the gauges fresh for the process that is asked."""
    while True:
        saturation.look()
        await asyncio.sleep(FRESH)
