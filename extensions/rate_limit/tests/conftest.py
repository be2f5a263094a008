"""Fixtures of the limits' tests: a storage, and a slice with routes of every kind."""

import os
from collections.abc import Iterator

import pytest
from fastapi import APIRouter, Request

from app.core import context
from app.core.component import Component
from app.core.errors import AuthenticationFailed
from app.extensions.rate_limit import limited
from tests.extensions.rate_limit.servers import Server

KEYS = {"right": "ada", "right too": "bob"}
router = APIRouter(prefix="/limits")
nested = APIRouter(prefix="/nested")


@router.get("/things/{number}")
async def read(number: int) -> int:
    """With the limit of the service."""
    return number


@nested.get("/things/{number}")
async def read_nested(number: int) -> int:
    """The same, in a router that is included in another one."""
    return number


@router.get("/dear/plain")
async def plain() -> None:
    """With the limit of the service, though its path is also one of the dear ones."""


@router.get("/dear/free")
@limited()
async def free() -> None:
    """Without a limit, though it looks like the next one."""


@router.get("/dear/{number}")
@limited(per_minute=2)
async def dear(number: int) -> int:
    """With a limit of its own."""
    return number


@router.post("/dear/{number}")
async def other_method(number: int) -> int:
    """The same path with the limit of the service."""
    return number


@router.get("/mine")
async def mine(request: Request) -> str:
    """For those with a key: authentication is behind the middleware."""
    principal = KEYS.get(request.headers.get("x-api-key", ""))
    current = context.current()
    if principal is None or current is None:
        raise AuthenticationFailed
    current.principal = principal
    return principal


router.include_router(nested)


@pytest.fixture
def things() -> Component:
    """The slice."""
    return Component(name="limited_things", routers=[router])


@pytest.fixture(scope="session")
def storage_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server of TEST_REDIS_URL, or one from the wheel."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    server = Server(tmp_path_factory.mktemp("storage"))
    yield server.url
    server.kill()


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the test's own, to be broken."""
    started = Server(tmp_path_factory.mktemp("storage"))
    yield started
    started.kill()
