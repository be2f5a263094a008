"""HEAD for each GET, and a service behind a path prefix."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from app.core.component import Component
from app.core.errors import ConfigurationInvalid, NotFound
from app.core.pagination import links
from app.core.versioning import versioned
from tests.conftest import Serve, Start
from tests.core.conftest import Lines

router = versioned("paths")
plain = APIRouter()


@router.get("")
async def show(request: Request) -> dict[str, str]:
    """Returns the links of this path."""
    return {"self": links(request, first={}).self_, "url_for": request.url_for("show").path}


@router.get("/missing")
async def missing() -> None:
    """Raises."""
    raise NotFound


@plain.get("/endless")
async def endless() -> StreamingResponse:
    """Streams until someone stops it."""

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"part"
            await asyncio.sleep(0)

    return StreamingResponse(parts(), headers={"X-Kind": "stream"})


@plain.get("/own")
async def own() -> str:
    """Answers GET."""
    return "get"


@plain.head("/own")
async def own_head() -> Response:
    """Answers HEAD itself."""
    return Response(headers={"X-Own": "head"})


PARTS = [Component(name="paths", routers=[router, plain])]


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    return await start(extra=PARTS, log={"format": "json"})


@pytest.mark.parametrize("path", ["/health/live", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/own", "/nowhere"])
async def test_head_answers_as_get_does_without_a_body(client: httpx2.AsyncClient, path: str) -> None:
    whole = {"Accept-Encoding": "identity"}
    head, get = await client.head(path, headers=whole), await client.get(path, headers=whole)
    assert head.status_code == get.status_code
    assert head.content == b""
    if path != "/own":
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers["content-type"] == get.headers["content-type"]


async def test_a_route_may_answer_head_itself(client: httpx2.AsyncClient) -> None:
    assert (await client.head("/own")).headers["x-own"] == "head"
    assert "x-own" not in (await client.get("/own")).headers


async def test_head_of_an_endless_stream_ends(client: httpx2.AsyncClient) -> None:
    answer = await asyncio.wait_for(client.head("/endless"), 5)
    assert (answer.status_code, answer.headers["x-kind"], answer.content) == (200, "stream", b"")


async def test_head_is_recorded_as_head_and_is_in_no_schema(client: httpx2.AsyncClient, log_lines: Lines) -> None:
    await client.head("/api/v1/paths")
    (record,) = [line for line in log_lines() if line["logger"] == "access"]
    assert (record["method"], record["route"], record["sent"]) == ("HEAD", "/api/v1/paths", 0)
    schema = (await client.get("/openapi.json")).json()
    assert not any("head" in path for name, path in schema["paths"].items() if name != "/own")


async def test_a_refused_method_is_told_of_head(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/health/live")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("sent", ["", "/shop"])
async def test_behind_a_prefix_everything_is_in_its_place(start: Start, log_lines: Lines, sent: str) -> None:
    """The proxy removes the prefix, or passes it on."""
    client = await start(extra=PARTS, http={"root_path": "/shop", "trusted_hosts": "else"}, log={"format": "json"})
    assert (await client.get(f"{sent}/health/live")).status_code == 200  # under any host name
    client = await start(extra=PARTS, http={"root_path": "/shop"}, log={"format": "json"})
    log_lines()
    answer = await client.get(f"{sent}/api/v1/paths")
    answer = answer.json().get("data", answer.json())
    assert answer == {"self": "/shop/api/v1/paths", "url_for": "/shop/api/v1/paths"}
    (record,) = [line for line in log_lines() if line["logger"] == "access"]
    assert (record["path"], record["route"]) == ("/api/v1/paths", "/api/v1/paths")
    assert (await client.get(f"{sent}/api/v1/paths/missing")).json()["instance"] == "/shop/api/v1/paths/missing"
    await client.get(f"{sent}/health/live")
    records = [line for line in log_lines() if line["logger"] == "access"]
    assert "/health/live" not in {record["path"] for record in records}  # as without a prefix
    assert (await client.post(f"{sent}/health/live")).headers["allow"] == "GET, HEAD"
    schema = (await client.get(f"{sent}/openapi.json")).json()
    assert schema["servers"] == [{"url": "/shop"}]
    assert "/api/v1/paths" in schema["paths"]
    for path in ("/docs", "/redoc", "/docs/swagger-ui.css"):
        assert (await client.get(sent + path)).status_code == 200
    assert (await client.head(f"{sent}/api/v1/paths")).status_code == 200


@pytest.mark.parametrize("wrong", ["shop", "/shop/", "/a b", "/shop?x", "https://shop"])
async def test_a_prefix_that_is_none_is_refused(serve: Serve, wrong: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"^HTTP__ROOT_PATH: has to look like /shop"):
        await serve(http={"root_path": wrong})


async def test_a_prefix_that_is_the_begin_of_a_path_is_refused(serve: Serve) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"^HTTP__ROOT_PATH: /health is how /health"):
        await serve(http={"root_path": "/health"})
