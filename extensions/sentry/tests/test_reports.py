"""Reports: what is reported, with which data, and what never is."""

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

from app.core.component import Component
from app.core.telemetry import RequestFailed
from app.extensions.sentry import reporter
from tests.conftest import Start
from tests.extensions.sentry.conftest import HIDDEN
from tests.extensions.sentry.sink import Sink

HIDDEN_BY_US = "[redacted]"
TRACE = "0af7651916cd43dd8448eb211c80319c"
IDS = {"X-Correlation-ID": "asked-by-ada", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


async def sent(sink: Sink, kind: str = "event", count: int = 1) -> list[dict[str, Any]]:
    """Wait for reports without blocking the service, and return them."""
    return await asyncio.to_thread(sink.wait, kind, count)


async def test_an_unexpected_error_arrives_with_whose_request_it_was(
    sink: Sink, failing: Component, start: Start
) -> None:
    service = await start(extra=[failing], sentry={"dsn": sink.dsn}, service={"name": "shop", "version": "1.2.3"})
    answer = await service.get("/failing/7", headers=IDS)
    assert (answer.status_code, answer.json()["correlation_id"]) == (500, "asked-by-ada")
    (event,) = await sent(sink)
    assert (event["environment"], event["release"], event["level"]) == ("test", "shop@1.2.3", "error")
    assert event["tags"] == {"correlation_id": "asked-by-ada", "trace_id": TRACE}
    assert event["contexts"]["trace"]["trace_id"] == TRACE
    assert event["user"] == {"id": "ada"}
    assert event["transaction"] == "GET /failing/{number}"
    assert event["request"] == {"method": "GET", "url": "/failing/7"}
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "number 7")
    assert error["mechanism"]["handled"] is False
    last = error["stacktrace"]["frames"][-1]
    assert last["function"] == "fail"
    assert "raise RuntimeError" in last["context_line"]
    assert sink.paths == {"/api/7/envelope/"}


async def test_where_it_runs_and_what_may_be_set(sink: Sink, failing: Component, start: Start) -> None:
    settings = {"dsn": sink.dsn, "environment": "staging", "release": "shop@abc"}
    service = await start(extra=[failing], sentry=settings)
    await service.get("/failing/7")
    (event,) = await sent(sink)
    assert (event["environment"], event["release"]) == ("staging", "shop@abc")


async def test_nothing_that_was_sent_to_the_service_leaves_it(sink: Sink, failing: Component, start: Start) -> None:
    service = await start(extra=[failing], sentry={"dsn": sink.dsn, "traces_sample_rate": 1})
    headers = {"Authorization": f"Bearer {HIDDEN}", "Cookie": f"session={HIDDEN}"}
    answer = await service.post("/failing/body", params={"q": HIDDEN}, json={"word": HIDDEN}, headers=headers)
    assert answer.status_code == 500
    await service.get(f"/failing/told/{HIDDEN[:7]}")
    error, message = await sent(sink, count=2)
    await sent(sink, "transaction", 2)
    assert [cause["type"] for cause in error["exception"]["values"]] == ["ValidationError", "RuntimeError"]
    assert [cause["value"] for cause in error["exception"]["values"]] == [
        "2 validation errors for list[int]",
        "the link was https://ada:[redacted]@example.com/?token=[redacted]",
    ]
    assert "user" not in error
    assert message["tags"]["password"] == HIDDEN_BY_US
    assert HIDDEN.encode() not in sink.raw


async def test_what_the_code_reports_itself_has_the_ids_too(sink: Sink, failing: Component, start: Start) -> None:
    service = await start(extra=[failing], sentry={"dsn": sink.dsn})
    await service.get("/failing/told/word", headers=IDS)
    (event,) = await sent(sink)
    assert event["message"] == "the shop runs dry"
    assert event["tags"]["correlation_id"] == "asked-by-ada"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nowhere", 404),
        ("/failing/expected/missing", 404),
        ("/failing/expected/busy", 503),
        ("/failing/word", 422),
        ("/failing/body", 405),
    ],
)
async def test_an_expected_error_is_not_sent(
    sink: Sink, failing: Component, start: Start, path: str, status: int
) -> None:
    method = "PUT" if status == 405 else "GET"
    service = await start(extra=[failing], sentry={"dsn": sink.dsn})
    assert (await service.request(method, path)).status_code == status
    await service.get("/failing/7")
    assert [event["request"]["url"] for event in await sent(sink)] == ["/failing/7"]


async def test_of_a_storm_of_errors_the_first_of_each_second_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RequestFailed] = []
    now = 100.0
    monkeypatch.setattr(reporter, "report", made.append)
    monkeypatch.setattr(reporter, "monotonic", lambda: now)
    reports, failed = reporter.Reports(), RequestFailed(RuntimeError())
    for _ in range(50):
        reports(failed)
    assert len(made) == 10
    now = 101.5
    reports(failed)
    assert len(made) == 11


def test_without_a_dsn_nothing_is_imported(database_url: str) -> None:
    program = "import sys; from app.main import create_app; create_app(); sys.exit('sentry_sdk' in sys.modules)"
    environment = {**os.environ, "DATABASE__URL": database_url, "SENTRY__DSN": ""}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=50).returncode == 0  # noqa: S603
