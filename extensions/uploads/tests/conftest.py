"""Fixtures of the uploads' tests: a slice that takes files, its two storages, and its events."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Depends, Request

from app.core import context
from app.core.component import Component
from app.core.errors import AuthenticationFailed
from app.core.telemetry import BusinessEvent, SecurityEvent, listening
from app.extensions.uploads import routes
from tests.conftest import Start
from tests.extensions.uploads.s3 import Server

Open = Callable[..., Awaitable[httpx2.AsyncClient]]
PATH = "/api/v1/documents"


async def known(request: Request) -> None:
    """Stands for any authentication."""
    current = context.current()
    if current is None or "authorization" not in request.headers:
        raise AuthenticationFailed
    current.principal = f"user:{request.headers['authorization']}"


DOCUMENTS = Component(name="documents", routers=[routes("documents", write=[Depends(known)])])


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that stays up: a test that stops one has its own."""
    server = Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of the stored files."""
    return tmp_path / "uploads"


@pytest.fixture
def open_service(start: Start, directory: Path) -> Open:
    """Opens the service with the slice: `await open_service(file_limit=10)`."""

    async def open_client(**settings: Any) -> httpx2.AsyncClient:
        client = await start(extra=[DOCUMENTS], uploads={"directory": str(directory), **settings})
        client.headers["Authorization"] = "ada"
        return client

    return open_client


@pytest.fixture
async def client(open_service: Open) -> httpx2.AsyncClient:
    """A client that sends files, which go to the directory."""
    return await open_service()


@pytest.fixture
def told() -> Iterator[list[BusinessEvent | SecurityEvent]]:
    """The events."""
    seen: list[BusinessEvent | SecurityEvent] = []
    with listening(BusinessEvent, seen.append), listening(SecurityEvent, seen.append):
        yield seen
