"""An issuer, and the shipped service with a guarded slice that believes it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter

from app.core.component import Component
from app.core.telemetry import SecurityEvent, listening
from app.extensions.jwt import CurrentUser, require_scopes
from tests.conftest import Start
from tests.extensions.jwt.issuer import AUDIENCE, Issuer, listening_issuer

Trusting = Callable[..., Awaitable[httpx2.AsyncClient]]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer that serves."""
    with listening_issuer() as serving:
        yield serving


@pytest.fixture
def trusting(start: Start) -> Trusting:
    """`await trusting(issuer=...)`: the service with these settings of `jwt`."""
    router = APIRouter()

    @router.get("/whoami")
    async def whoami(user: CurrentUser) -> dict[str, Any]:
        return {"subject": user.subject, "scopes": sorted(user.scopes)}

    @router.post("/things", dependencies=[require_scopes("things:write")])
    async def write() -> dict[str, str]:
        return {}

    async def open_client(**settings: Any) -> httpx2.AsyncClient:
        return await start(jwt=settings, extra=[Component(name="things", routers=[router])])

    return open_client


@pytest.fixture
async def client(issuer: Issuer, trusting: Trusting) -> httpx2.AsyncClient:
    """A client of the service that believes the issuer."""
    return await trusting(issuer=issuer.url, audience=AUDIENCE)


@pytest.fixture
def told() -> Iterator[list[SecurityEvent]]:
    """The security events of the test."""
    events: list[SecurityEvent] = []
    with listening(SecurityEvent, events.append):
        yield events


async def whoami(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    """Send a request with this token, and return the response."""
    return await client.get("/whoami", headers={"Authorization": f"Bearer {token}"})


async def until(condition: Callable[[], bool], awaited: str = "it") -> None:
    """Wait for something to become true."""
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, f"{awaited} did not happen in time"
        await asyncio.sleep(0.01)


async def warm(trusting: Trusting, issuer: Issuer, **settings: Any) -> httpx2.AsyncClient:
    """A service that knows the issuer's first key, so that what follows is about the next ones."""
    client = await trusting(issuer=issuer.url, audience=AUDIENCE, **settings)
    assert (await whoami(client, issuer.token())).status_code == 200
    return client
