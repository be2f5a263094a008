"""One record for each request."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from app.core import context
from app.core.component import Component
from tests.conftest import Start
from tests.core.conftest import Lines

Record = Callable[..., Awaitable[dict[str, Any]]]
router = APIRouter(prefix="/things")


@router.post("/{number}")
async def receive(number: int, body: list[int]) -> list[int]:
    """Knows who calls."""
    request = context.current()
    assert request
    request.principal = f"user {number}"
    return body


@router.get("/stream")
async def stream() -> StreamingResponse:
    """Three parts."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"part"

    return StreamingResponse(parts())


@router.get("/broken")
async def broken() -> None:
    """Fails."""
    raise RuntimeError("oh")


CALLER = {"X-Correlation-ID": "order-4711", "User-Agent": b"orders/1.0 \xdc" + b"x" * 5000}


@pytest.fixture
def record(start: Start, log_lines: Lines) -> Record:
    async def send(method: str, path: str, *, settings: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        client = await start(
            extra=[Component(name="things", routers=[router])], log={"format": "json", **(settings or {})}
        )
        await client.request(method, path, **more)
        found = [line for line in log_lines() if line["logger"] == "access"]
        assert len(found) <= 1
        return found[0] if found else {}

    return send


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health/startup"])
async def test_a_probe_leaves_a_record_only_if_it_fails_or_is_asked_for(record: Record, path: str) -> None:
    assert await record("GET", path) == {}
    assert (await record("GET", path, settings={"level": "DEBUG"}))["status"] == 200
    assert (await record("POST", path))["status"] == 405


async def test_a_record_has_no_secret_of_a_path_and_no_long_path(record: Record) -> None:
    assert (await record("GET", "/reset/token=s3cr3t"))["path"] == "/reset/token=[redacted]"
    assert len((await record("GET", "/" + "a" * 60_000))["path"]) < 600


async def test_a_record_says_who_asked_what_and_how_it_went(record: Record) -> None:
    line = await record("POST", "/things/7?token=s3cr3t", json=[1, 2], headers=CALLER)
    assert {
        "level": "info",
        "event": "request",
        "method": "POST",
        "route": "/things/{number}",
        "path": "/things/7",
        "status": 200,
        "received": 5,
        "sent": 5,
        "client": "127.0.0.1",
        "user_agent": "orders/1.0 Ü" + "x" * 188,
        "principal": "user 7",
        "correlation_id": "order-4711",
        "version": "0.1.0",
    }.items() <= line.items()
    assert 0 < line["duration"] < 5
    assert line.keys() >= {"timestamp", "process", "thread", "service", "trace_id"}
    assert line["timestamp"].endswith("Z")
    assert not line.keys() & {"module", "func_name", "lineno"}
    assert "s3cr3t" not in str(line)


@pytest.mark.parametrize(
    ("method", "path", "status", "route", "code"),
    [
        ("GET", "/nowhere", 404, "unmatched", "not_found"),
        ("DELETE", "/things/7", 405, "/things/{number}", "method_not_allowed"),
        ("POST", "/things/x", 422, "/things/{number}", "validation_failed"),
        ("GET", "/things/broken", 500, "/things/broken", "internal_error"),
    ],
)
async def test_a_record_of_an_error_has_its_code(
    record: Record, method: str, path: str, status: int, route: str, code: str
) -> None:
    line = await record(method, path)
    assert (line["status"], line["route"], line["code"]) == (status, route, code)


async def test_a_body_that_is_too_large_is_recorded_as_such(record: Record) -> None:
    line = await record("POST", "/things/7", content=b"x" * 2_000_000)
    assert (line["status"], line["code"]) == (413, "body_too_large")


async def test_the_parts_of_a_stream_are_counted(record: Record) -> None:
    assert (await record("GET", "/things/stream"))["sent"] == 12


async def test_a_slow_request_is_a_warning(record: Record) -> None:
    line = await record("POST", "/things/7", json=[], settings={"slow_request": 1e-9, "level": "WARNING"})
    assert (line["level"], line["event"]) == ("warning", "slow request")


@pytest.mark.parametrize("settings", [{"access": False}, {"level": "WARNING"}, {"level": "ERROR"}])
async def test_records_can_be_left_out(record: Record, settings: dict[str, Any]) -> None:
    assert await record("POST", "/things/7", json=[], settings=settings) == {}


@pytest.mark.parametrize(
    ("settings", "level"),
    [({}, "warning"), ({"client_errors": "INFO"}, "info"), ({"client_errors": "ERROR", "level": "ERROR"}, "error")],
)
async def test_a_refused_request_has_the_level_of_the_settings(
    record: Record, settings: dict[str, Any], level: str
) -> None:
    line = await record("GET", "/nowhere", settings=settings)
    assert (line.get("level"), line["event"], line["status"]) == (level, "request", 404)


async def test_at_a_desk_a_record_is_for_people(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    client = await start(log={"format": "console"})
    await client.get("/nowhere")
    shown = capsys.readouterr().out
    assert "unmatched" in shown
    assert not shown.startswith("{")
