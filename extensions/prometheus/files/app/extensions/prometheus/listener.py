"""The listener: a port for the metrics alone, beside the one of the service."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import APIRouter, FastAPI

from app.core.errors import ConfigurationInvalid
from app.core.http import problems
from app.core.server.protocol import PromptProtocol


class Listener(uvicorn.Server):
    """A second server in the process: signals are for the first one."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def listening_on(host: str, port: int, router: APIRouter, *, reuse: bool) -> AsyncIterator[None]:
    """Serve the router there. With `reuse` each of several processes may, and any one answers for all.

    Raises:
        ConfigurationInvalid: the port is in use.
    """
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
            http=PromptProtocol,
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
