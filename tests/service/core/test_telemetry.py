"""Events, who listens to them, and the log line that each of them is."""

from typing import Any, NamedTuple

import pytest
from fastapi import APIRouter

from app.core import telemetry
from app.core.component import Component
from app.core.telemetry import (
    BusinessEvent,
    QueryFinished,
    RequestFailed,
    SecurityEvent,
    anyone_listens_to,
    describe,
    emit,
    listening,
)
from tests.conftest import Start
from tests.core.conftest import Lines

INFO: dict[tuple[Any, ...], tuple[str, dict[str, Any]]] = {
    BusinessEvent("order_shipped", "7", after=None): ("business event", {"name": "order_shipped", "subject": "7"}),
    SecurityEvent("authentication_failed", "me", "expired"): ("security event", {"reason": "expired"}),
}
DEBUG: dict[tuple[Any, ...], tuple[str, dict[str, Any]]] = {
    QueryFinished("SELECT", 0.1, "SELECT 1"): ("query finished", {"operation": "SELECT", "duration": 0.1}),
}


class Sold(NamedTuple):
    """An event of another module."""

    service: str
    amount: int
    note: str | None = None


async def test_a_described_event_is_a_line_and_is_found_where_events_were(
    start: Start, log_lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_descriptions", {})
    describe(Sold, log=("info", "something was sold"))
    await start(log={"format": "json"})
    log_lines()
    emit(Sold("shop", 7))
    (line,) = log_lines()
    assert {"event": "something was sold", "level": "info", "peer_service": "shop", "amount": 7}.items() <= line.items()
    assert "note" not in line
    with pytest.warns(DeprecationWarning, match="app.core.telemetry.Sold is now tests.core.test_telemetry.Sold"):
        assert telemetry.Sold is Sold
    with pytest.raises(AttributeError, match="Bought"):
        telemetry.Bought  # noqa: B018


def test_every_listener_hears_an_event_until_its_block_ends() -> None:
    heard: list[object] = []
    event = BusinessEvent("sold")
    with listening(BusinessEvent, heard.append), listening(BusinessEvent, lambda _: heard.append("second")):
        emit(event)
    emit(event)
    assert heard == [event, "second"]


def test_without_a_listener_nobody_listens() -> None:
    assert not anyone_listens_to(QueryFinished)
    with listening(QueryFinished, print):
        assert anyone_listens_to(QueryFinished)
    assert not anyone_listens_to(QueryFinished)


def test_a_listener_hears_only_what_it_asked_for() -> None:
    heard: list[object] = []
    with listening(BusinessEvent, heard.append):
        emit(SecurityEvent("locked"))
    assert heard == []


def test_a_failing_listener_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[object] = []

    def fail(_: BusinessEvent) -> None:
        raise ValueError("oh")

    with listening(BusinessEvent, fail), listening(BusinessEvent, heard.append):
        emit(BusinessEvent("sold"))
    assert len(heard) == 1
    assert "a listener of BusinessEvent failed" in caplog.text


@pytest.mark.parametrize("event", INFO, ids=lambda event: type(event).__name__)
async def test_an_event_is_a_line(start: Start, log_lines: Lines, event: tuple[Any, ...]) -> None:
    message, fields = INFO[event]
    await start(log={"format": "json"})
    log_lines()  # what is said at the start
    emit(event)
    (line,) = log_lines()
    assert {"event": message, "level": "info", "logger": "telemetry", **fields}.items() <= line.items()
    assert "after" not in line


@pytest.mark.parametrize("event", DEBUG, ids=lambda event: type(event).__name__)
async def test_a_frequent_event_is_a_line_for_who_looks_closely(
    start: Start, log_lines: Lines, event: tuple[Any, ...]
) -> None:
    message, fields = DEBUG[event]
    await start(log={"format": "json", "level": "DEBUG"})
    log_lines()
    emit(event)
    line = next(line for line in log_lines() if line["logger"] == "telemetry")
    assert {"event": message, "level": "debug", **fields}.items() <= line.items()


async def test_nobody_listens_for_a_level_that_is_off(start: Start) -> None:
    await start(log={"level": "WARNING"})
    assert not logged(BusinessEvent)
    assert not logged(QueryFinished)
    await start(log={"level": "INFO"})
    assert logged(BusinessEvent)
    assert not logged(QueryFinished)


def logged(event: type[tuple[Any, ...]]) -> bool:
    """Return whether the log listens. Others may: an extension that was enabled, a slice of yours."""
    return any(
        listener.__module__ == "app.core.observability.access_log" for listener in telemetry._listeners.get(event, ())
    )


async def test_an_unexpected_error_is_told_with_the_template_of_its_route(start: Start) -> None:
    router = APIRouter()

    @router.get("/broken/{part}")
    async def broken(part: str) -> None:
        raise RuntimeError(part)

    service = await start(extra=[Component(name="broken", routers=[router])])
    heard: list[RequestFailed] = []
    with listening(RequestFailed, heard.append):
        assert (await service.get("/broken/wheel")).status_code == 500
        assert (await service.get("/nowhere")).status_code == 404
    assert [(str(failed.error), failed.route) for failed in heard] == [("wheel", "/broken/{part}")]
