"""The ids of a request, wherever it can be seen."""

import logging

import httpx2
import pytest
from fastapi import APIRouter

from app.core import context
from app.core.component import Component
from tests.conftest import Start
from tests.core.conftest import Lines

ID = "order-4711.a_b"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
router = APIRouter(prefix="/ids")


@router.get("/outgoing")
async def outgoing() -> dict[str, str]:
    """Return the headers that a call to another service would carry."""
    logging.getLogger("library").info("calling")
    return context.outgoing_headers()


@router.get("/recorded")
async def recorded() -> dict[str, str | None]:
    """Return the headers that a call would carry where something records the request as a span."""
    request = context.current()
    assert request is not None
    request.span_id, request.trace_flags = "c7ad6b7169203331", "01"
    return {"parent": request.parent_id, **context.outgoing_headers()}


@router.get("/failing")
async def failing() -> None:
    """Fails."""
    raise RuntimeError("oh")


@router.post("/reading")
async def reading(body: dict[str, str]) -> dict[str, str]:
    """Reads a body."""
    return body


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    return await start(
        extra=[Component(name="ids", routers=[router])],
        http={"cors_origins": "https://shop.example", "body_limit": 10},
        log={"format": "json"},
    )


REQUESTS = {
    "200": ("GET", "/ids/outgoing", {}),
    "404": ("GET", "/nowhere", {}),
    "405": ("POST", "/ids/outgoing", {}),
    "413": ("POST", "/ids/reading", {}),
    "500": ("GET", "/ids/failing", {}),
    "preflight": (
        "OPTIONS",
        "/ids/reading",
        {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"},
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_id_of_the_caller_is_in_the_answer_the_body_and_every_line(
    client: httpx2.AsyncClient, log_lines: Lines, name: str
) -> None:
    method, path, headers = REQUESTS[name]
    content = b'{"name": "too long"}' if name == "413" else None
    answer = await client.request(method, path, headers={"X-Correlation-ID": ID, **headers}, content=content)
    assert str(answer.status_code) == name or name == "preflight"
    assert answer.headers["x-correlation-id"] == ID
    if answer.status_code >= 400:
        assert answer.json()["correlation_id"] == ID
    lines = log_lines()
    assert any(line["logger"] == "access" for line in lines)
    assert {line["correlation_id"] for line in lines} == {ID}


@pytest.mark.parametrize(
    "given", [None, "", "short", "x" * 65, "with space", "new\\nline", "ümlaut-and-more", "<script>"]
)
async def test_an_id_that_is_missing_or_malformed_is_made(client: httpx2.AsyncClient, given: str | None) -> None:
    headers = {} if given is None else {b"X-Correlation-ID": given.encode()}
    answers = [await client.get("/ids/outgoing", headers=headers) for _ in range(2)]
    ids = [answer.headers["x-correlation-id"] for answer in answers]
    assert ids[0] != ids[1]
    assert all(len(made) == 32 and made != given for made in ids)


async def test_the_trace_of_the_caller_goes_on(client: httpx2.AsyncClient, log_lines: Lines) -> None:
    answer = await client.get("/ids/outgoing", headers={"traceparent": PARENT, "X-Correlation-ID": ID})
    sent = answer.json()
    assert sent["X-Correlation-ID"] == ID
    version, trace, span, flags = sent["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert len(span) == 16
    assert span != "b7ad6b7169203331"
    assert {line["trace_id"] for line in log_lines()} == {TRACE}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00-x-y-01",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
    ],
)
async def test_a_malformed_trace_is_not_taken_over(client: httpx2.AsyncClient, parent: str) -> None:
    sent = (await client.get("/ids/outgoing", headers={"traceparent": parent})).json()
    assert TRACE not in sent["traceparent"]
    assert len(sent["traceparent"]) == 55


async def test_a_request_that_is_recorded_is_what_the_next_service_hears_of(client: httpx2.AsyncClient) -> None:
    sent = (await client.get("/ids/recorded", headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"})).json()
    assert sent["parent"] == "b7ad6b7169203331"
    assert sent["traceparent"] == f"00-{TRACE}-c7ad6b7169203331-01"
    assert (await client.get("/ids/recorded")).json()["parent"] == ""


async def test_outside_a_request_there_are_no_ids() -> None:
    assert context.ids() == {}
    assert context.outgoing_headers() == {}
