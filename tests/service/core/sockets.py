"""A server of uvicorn in the test's own process, with the protocols of the service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from app.core.http.security import HttpSettings
from app.core.http.websockets import WebSocketSettings
from app.core.server.protocol import BoundedProtocol
from app.core.server.websockets import BoundedWebSocket


@asynccontextmanager
async def serving(
    app: Any, *, http: HttpSettings | None = None, websockets: WebSocketSettings | None = None
) -> AsyncIterator[str]:
    """Serve an application on a free port, and yield the address of its WebSockets."""
    async with server(app, http=http, websockets=websockets) as (_, url):
        yield url


@asynccontextmanager
async def server(
    app: Any, *, http: HttpSettings | None = None, websockets: WebSocketSettings | None = None
) -> AsyncIterator[tuple[uvicorn.Server, str]]:
    """Yield the server too."""
    config = uvicorn.Config(
        app,
        port=0,
        http=BoundedProtocol,
        ws=BoundedWebSocket,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    config.load()
    running = uvicorn.Server(config)
    running.lifespan = config.lifespan_class(config)
    running.lifespan.state.update({"http": http or HttpSettings(), "websockets": websockets or WebSocketSettings()})
    await running.startup()
    host, port = running.servers[0].sockets[0].getsockname()
    try:
        yield running, f"ws://{host}:{port}"
    finally:
        for opened in running.servers:
            opened.close()
        deadline = asyncio.get_running_loop().time() + 5
        while running.server_state.tasks and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
