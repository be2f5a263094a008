"""The sink, and a slice that does what becomes a span."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import text

from app.core import context
from app.core.component import Component
from app.core.database import DatabaseDep
from tests.conftest import Start
from tests.extensions.tracing.sink import Sink, sinking

HIDDEN = "correct-horse-battery-staple"
"""A secret that is sent to the service and may not leave it."""
Trace = Callable[..., Awaitable[httpx2.AsyncClient]]


@pytest.fixture
def sink() -> Iterator[Sink]:
    """The server that receives spans."""
    with sinking() as made:
        yield made


@pytest.fixture
def trace(sink: Sink, start: Start) -> Trace:
    """Starts the service with its spans going to the sink: `await trace(sample_rate=0.5)`."""

    async def open_client(*, extra: Any = (), **settings: Any) -> httpx2.AsyncClient:
        quick = {
            "endpoint": sink.endpoint,
            "flush_interval": 0.05,
            "shutdown_timeout": 0.5,
            "trusted_callers": "127.0.0.0/8",
            **settings,
        }
        return await start(extra=[working(sink), *extra], tracing=quick)

    return open_client


def working(sink: Sink) -> Component:
    """The slice: the other service that it calls is the sink, which says no in its own way."""
    router = APIRouter(prefix="/working")

    @router.get("/plain/{number}")
    async def plain(number: int) -> dict[str, str]:
        request = context.current()
        assert request is not None
        request.principal = "ada" if number else None
        return context.outgoing_headers()

    @router.get("/querying")
    async def query(database: DatabaseDep) -> dict[str, Any]:
        async with database.read() as connection:
            return {"found": await connection.scalar(text("SELECT :word"), {"word": HIDDEN})}

    @router.get("/querying/wrongly")
    async def query_wrongly(database: DatabaseDep) -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1 FROM nowhere WHERE word = :word"), {"word": HIDDEN})

    @router.get("/calling")
    async def call() -> dict[str, int]:
        async with httpx2.AsyncClient() as client:
            headers = context.outgoing_headers()
            answer = await client.post(f"{sink.endpoint}/other", params={"token": HIDDEN}, headers=headers)
        return {"status": answer.status_code}

    @router.get("/failing")
    async def fail() -> None:
        raise RuntimeError(HIDDEN)

    return Component(name="working", routers=[router])
