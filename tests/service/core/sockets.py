"""A server of uvicorn in the test's own process, with the protocols of the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app.core.http.security import HttpSettings
from app.core.http.websockets import WebSocketSettings
from tests.conftest import listening_on_a_port as server

__all__ = ["server", "serving"]


@asynccontextmanager
async def serving(
    app: Any, *, http: HttpSettings | None = None, websockets: WebSocketSettings | None = None
) -> AsyncIterator[str]:
    """Serve an application on a free port, and yield the address of its WebSockets."""
    async with server(app, http=http, websockets=websockets) as (_, url):
        yield url
