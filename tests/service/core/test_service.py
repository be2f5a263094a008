"""The application: how it takes over the routers of its components."""

from collections.abc import Callable
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, Depends, Request

from app.core.component import Component
from app.core.http.application import Service
from app.core.http.endpoints import Router
from app.core.settings import Settings
from app.main import create_app, default_components
from tests.conftest import Start

pytestmark = pytest.mark.anyio


async def tides() -> str:
    """Return the tide: a dependency that a test may replace."""
    return "high"


def router(made: APIRouter) -> APIRouter:
    """Add one route, with a dependency."""

    @made.get("/tides")
    async def tide(request: Request, said: Annotated[str, Depends(tides)]) -> list[str]:
        return [said, request.scope["route"].path]

    return made


def service(settings: Settings, made: APIRouter) -> Service:
    """Build the service with one more router."""
    return create_app([*default_components(settings), Component(name="tides", routers=[made])], settings)


def test_a_route_of_a_feature_is_matched_once(configured: Callable[..., Settings]) -> None:
    app = service(configured(), router(Router()))
    assert [route for route in app.routes if getattr(route, "path", "") == "/tides"]


@pytest.mark.parametrize("kind", [Router, APIRouter])
@pytest.mark.parametrize("nested", [False, True])
async def test_a_route_answers_however_deep_its_router_is(kind: type[APIRouter], nested: bool, start: Start) -> None:
    made = router(kind())
    if nested:
        made = kind()
        made.include_router(router(kind()))
    client = await start(extra=[Component(name="tides", routers=[made])])
    assert (await client.get("/tides")).json() == ["high", "/tides"]
    assert (await client.post("/tides")).status_code == 405


@pytest.mark.parametrize("kind", [Router, APIRouter])
async def test_a_dependency_can_be_replaced(kind: type[APIRouter], configured: Callable[..., Settings]) -> None:
    app = service(configured(), router(kind()))
    app.dependency_overrides[tides] = lambda: "low"
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://service") as client:
        assert (await client.get("/tides")).json() == ["low", "/tides"]
    app.dependency_overrides.clear()
