"""How the application takes the routers of its components over."""

from collections.abc import Callable
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, Depends, Request
from starlette.routing import BaseRoute

from app.core.component import Component
from app.core.http.application import Service
from app.core.settings import Settings
from app.main import create_app, shipped
from tests.conftest import Start

pytestmark = pytest.mark.anyio


async def tides() -> str:
    """What a test may replace."""
    return "high"


def router(**options: int) -> APIRouter:
    """One route, with a dependency."""
    made = APIRouter(prefix="/tides")

    @made.get("", **options)  # type: ignore[arg-type]  # any option of a route
    async def tide(request: Request, said: Annotated[str, Depends(tides)]) -> list[str]:
        return [said, request.scope["route"].path]

    return made


def service(settings: Settings, made: APIRouter) -> Service:
    """The service with one router more."""
    return create_app([*shipped(settings), Component(name="tides", routers=[made])], settings)


def own(app: Service) -> list[BaseRoute]:
    """The application's own routes below /tides."""
    return [route for route in app.routes if getattr(route, "path", "") == "/tides"]


def test_a_route_of_a_router_is_the_applications_own(configured: Callable[..., Settings]) -> None:
    assert len(own(service(configured(), router()))) == 1


def test_a_router_that_bounds_bodies_stays_as_fastapi_includes_it(configured: Callable[..., Settings]) -> None:
    assert own(service(configured(), router(max_body_size=10))) == []


@pytest.mark.parametrize("nested", [False, True])
async def test_a_route_answers_however_deep_its_router_is(nested: bool, start: Start) -> None:
    made = router()
    if nested:
        made = APIRouter()
        made.include_router(router())
    client = await start(extra=[Component(name="tides", routers=[made])])
    assert (await client.get("/tides")).json() == ["high", "/tides"]
    assert (await client.post("/tides")).status_code == 405


async def test_a_dependency_can_be_replaced(configured: Callable[..., Settings]) -> None:
    app = service(configured(), router())
    app.dependency_overrides[tides] = lambda: "low"
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://service") as client:
        assert (await client.get("/tides")).json() == ["low", "/tides"]
