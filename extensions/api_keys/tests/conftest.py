"""Keys as `make api-key` makes them, and the shipped service with a guarded slice."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from fastapi import APIRouter

from app.core.component import Component
from app.core.telemetry import SecurityEvent, listening
from app.extensions.api_keys import ApiKey, require_scopes
from app.extensions.api_keys.keyring import make
from tests.conftest import Start

Guarded = Callable[..., Awaitable[httpx2.AsyncClient]]


@dataclass(frozen=True)
class Made:
    """A key, and the line that the service has of it."""

    key: str
    line: str


def made(client: str = "billing", *scopes: str, seconds: float | None = None) -> Made:
    """A new key of a client; `seconds`: how long it is good for."""
    expires = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    key, stored = make(client, scopes, expires)
    return Made(key, stored.model_dump_json())


@pytest.fixture
def guarded(start: Start) -> Guarded:
    """`await guarded(key, ...)`: the service that knows these keys."""
    router = APIRouter()

    @router.get("/whoami")
    async def whoami(key: ApiKey) -> dict[str, str]:
        return {"client": key.client, "id": key.id}

    @router.post("/things", dependencies=[require_scopes("things:write", "things:read")])
    async def write() -> dict[str, str]:
        return {}

    @router.get("/open")
    async def free() -> dict[str, str]:
        return {}

    async def open_client(*keys: Made) -> httpx2.AsyncClient:
        lines = "\n".join(key.line for key in keys)
        return await start(api_keys={"keys": lines}, extra=[Component(name="things", routers=[router])])

    return open_client


@pytest.fixture
def told() -> Iterator[list[SecurityEvent]]:
    """The security events of the test."""
    events: list[SecurityEvent] = []
    with listening(SecurityEvent, events.append):
        yield events
