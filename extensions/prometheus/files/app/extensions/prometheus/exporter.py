"""The exporter: feeds the metrics while the service is open, and serves /metrics on its port or on one of its own."""

import asyncio
import platform
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from pydantic import SecretStr

from app.core.component import Component, State
from app.core.errors import AuthenticationFailed, ConfigurationInvalid, PermissionDenied
from app.core.http import problems
from app.core.http.security import is_near, secret_matches
from app.core.server.protocol import BoundedProtocol
from app.core.server.serve import ServerSettings
from app.core.settings import ServiceSettings, Settings
from app.core.telemetry import SecurityEvent, emit, listening
from app.extensions.prometheus.metrics import Requests, Saturation, event_listeners, measure_lag
from app.extensions.prometheus.registries import TextFiles, alone, share
from app.extensions.prometheus.settings import PrometheusSettings

FRESH = 1.0
"""Seconds between two updates of the gauges of a process whose metrics another one serves."""


def exporter(settings: Settings) -> Component:
    mine, server, service = settings.of(PrometheusSettings), settings.of(ServerSettings), settings.of(ServiceSettings)
    if mine.port == server.port:
        raise ConfigurationInvalid(
            f"PROMETHEUS__PORT: {mine.port} is SERVER__PORT: set another, or none to serve /metrics with the rest"
        )
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter
    shared = server.shared if server.workers > 1 else None
    registry, own = share(shared / "prometheus") if shared else alone()
    registry.register(TextFiles(mine.files))
    requests, events = Requests(own), list(event_listeners(own))
    saturation = Saturation(own, requests)
    Gauge("build_info", "What runs.", ["version", "python"], registry=own, multiprocess_mode="livemax").labels(
        service.version, platform.python_version()
    ).set(1)
    router = metrics_router(registry, saturation.look, mine.token)

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        saturation.database = state.get("database")
        async with AsyncExitStack() as stack:
            for event, listener in [*requests.listeners.items(), *events]:
                stack.enter_context(listening(event, listener))
            for watching in (measure_lag(own), *((look_often(saturation),) if shared else ())):
                stack.callback(asyncio.create_task(watching).cancel)
            if mine.port:
                await stack.enter_async_context(listening_on(server.host, mine.port, router, reuse=shared is not None))
            yield {"metrics": own}

    return Component(name="prometheus", routers=[] if mine.port else [router], lifespan=lifespan)


async def look_often(saturation: Saturation) -> None:
    """Update the gauges for the process that is scraped."""
    while True:
        saturation.look()
        await asyncio.sleep(FRESH)


def metrics_router(registry: CollectorRegistry, look: Callable[[], None], token: SecretStr | None) -> APIRouter:
    """Return the router of /metrics; `look` is called before each answer."""
    router = APIRouter()

    async def operators_only(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if token is None and not is_near(request):
            raise PermissionDenied("metrics are for private addresses: PROMETHEUS__TOKEN opens them to others")
        if token is not None and not (scheme.lower() == "bearer" and secret_matches(given.strip(), token)):
            emit(SecurityEvent("authentication_failed", reason=f"{'wrong' if given else 'no'} token of the metrics"))
            raise AuthenticationFailed(
                "send the token of the metrics as a bearer token", headers={"WWW-Authenticate": "Bearer"}
            )

    @router.get("/metrics", include_in_schema=False, dependencies=[Depends(operators_only)])
    def metrics(request: Request) -> Response:  # in a thread: thousands of series take some milliseconds
        look()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return router


class Listener(uvicorn.Server):
    """A second server in the process, which leaves signals to the first one."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening_on(host: str, port: int, router: APIRouter, *, reuse: bool) -> AsyncIterator[None]:
    """Serve the router on this port. With `reuse` several processes may, and any of them answers for all."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, reuse_port=reuse)
    except OSError as error:
        raise ConfigurationInvalid(
            f"PROMETHEUS__PORT: cannot listen on {host}:{port} ({error.strerror}): stop what uses it, or set another"
        ) from error
    app = FastAPI(openapi_url=None)
    problems.install(app)
    app.include_router(router)
    server = Listener(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[opened]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
