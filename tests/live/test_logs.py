"""In production every line on every stream is JSON, carries the ids of its request, and holds no secret."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import httpx2
import pytest

from tests.live.conftest import Make, Run
from tests.live.service import ORDERS, Rendered, Service, free_port, order, running

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def rendering(base: str, probed: Make) -> Rendered:
    """A service with the probe, on each database."""
    return probed(database=base)


@pytest.fixture(scope="module")
def service(rendering: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It runs in production."""
    with running(rendering, tmp_path_factory.mktemp("logs") / "service.log") as found:
        yield found


def test_every_line_of_a_life_is_json(rendering: Rendered, run: Run) -> None:
    service = run(rendering)
    http = service.http
    http.post(ORDERS, json=order("one"))
    http.get("/nowhere")
    assert http.get("/api/v1/probe/fail").status_code == 500
    assert http.get("/api/v1/probe/noise").status_code == 200
    http.get("/api/v1/probe/forget")
    service.logged(logger="asyncio")
    service.signal(signal.SIGTERM)
    service.process.wait(timeout=20)
    lines = service.lines()
    for line in lines:
        assert {"timestamp", "level", "event", "logger", "process", "thread", "service", "version"} <= line.keys(), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
        if line["logger"] != "access":
            assert {"module", "func_name", "lineno"} <= line.keys(), line
    told = "\n".join(str(line) for line in lines)
    for event in (
        "Started server process",
        "this is dubious",
        "two\\nlines",
        "ZeroDivisionError",
    ):
        assert event in told, event
    for secret in ("hunter2-hunter2", "abcdef123456"):
        assert secret not in told, secret
    (failed,) = [line for line in lines if line["event"] == "unexpected error"]
    assert "RuntimeError: no connection to postgresql://admin:[redacted]@db/service" in failed["exception"]
    assert failed["level"] == "error"


def test_migrations_speak_json_too(rendering: Rendered) -> None:
    done = rendering.run("alembic", "upgrade", "head")
    assert done.returncode == 0
    assert all(json.loads(line) for line in done.stdout.splitlines())
    assert "Context impl" in done.stdout


def test_the_callers_ids_go_everywhere(service: Service) -> None:
    headers = {"X-Correlation-ID": "order-form-17", "traceparent": TRACEPARENT}
    assert service.http.get("/nowhere", headers=headers).json()["correlation_id"] == "order-form-17"
    outgoing = service.http.get("/api/v1/probe/outgoing", headers=headers)
    assert outgoing.headers["x-correlation-id"] == "order-form-17"
    assert outgoing.json()["X-Correlation-ID"] == "order-form-17"
    assert outgoing.json()["traceparent"].startswith(f"00-{TRACE}-")
    assert outgoing.json()["traceparent"] != TRACEPARENT
    failed = service.http.get("/api/v1/probe/fail", headers=headers)
    assert failed.json()["correlation_id"] == failed.headers["x-correlation-id"] == "order-form-17"
    large = service.http.post(ORDERS, content=b"x" * 2_000_000, headers=headers)
    assert (large.status_code, large.json()["correlation_id"]) == (413, "order-form-17")
    service.http.get("/api/v1/probe/noise", headers=headers)
    service.logged(event="two\nlines for /api/v1/probe/noise", correlation_id="order-form-17", trace_id=TRACE)
    service.logged(event="unexpected error", correlation_id="order-form-17", trace_id=TRACE)
    service.logged(logger="access", route="/api/v1/probe/fail", correlation_id="order-form-17", status=500)


@pytest.mark.parametrize(
    "given", ["short", "x" * 65, "has space in it", "new\tline12345", "ünïcode-ünïcode", '"},{"a":"']
)
def test_an_id_that_is_none_is_replaced(given: str, service: Service) -> None:
    answer = service.http.get("/nowhere", headers={b"X-Correlation-ID": given.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-correlation-id"])


def test_each_request_is_one_record(service: Service) -> None:
    body = b'{"reference": "x", "lines": []}'
    answer = service.http.post(
        f"{ORDERS}?token=tell-no-one", content=body, headers={"Content-Type": "application/json"}
    )
    (record,) = service.logged(logger="access", correlation_id=answer.headers["x-correlation-id"])
    assert record["method"] == "POST"
    assert record["route"] == record["path"] == ORDERS
    assert record["status"] == 422
    assert record["code"] == "validation_failed"
    assert record["received"] == len(body)
    assert record["sent"] == len(answer.content)
    assert record["client"] == "127.0.0.1"
    assert 0 < record["duration"] < 10
    assert "tell-no-one" not in service.text()
    placed = service.http.post(ORDERS, json=order("a record"))
    read = service.http.get(placed.headers["location"])
    (record,) = service.logged(logger="access", correlation_id=read.headers["x-correlation-id"])
    assert record["route"] == f"{ORDERS}/{{order_id}}"


def test_slow_requests_and_queries_are_warnings(rendering: Rendered, run: Run) -> None:
    service = run(rendering, LOG__SLOW_REQUEST="0.1", DATABASE__SLOW_QUERY="0.000001")
    service.http.get("/api/v1/probe/slow", params={"seconds": 0.15})
    service.http.get(ORDERS)
    service.logged(event="slow request", level="warning", route="/api/v1/probe/slow")
    slow = service.logged(event="slow query", level="warning")
    assert any(line["statement"].startswith("SELECT") for line in slow)


def test_a_proxy_is_believed_only_where_it_is_trusted(rendering: Rendered, run: Run) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}
    behind = run(rendering, SERVER__TRUSTED_PROXIES="127.0.0.1,198.51.100.0/24")
    assert behind.http.get("/api/v1/probe/caller", headers=headers).json() == "203.0.113.9"
    one_hop = run(rendering, SERVER__TRUSTED_PROXIES="127.0.0.1")
    assert one_hop.http.get("/api/v1/probe/caller", headers=headers).json() == "198.51.100.7"
    open_to_all = run(rendering, SERVER__TRUSTED_PROXIES="10.0.0.1")
    assert open_to_all.http.get("/api/v1/probe/caller", headers=headers).json() == "127.0.0.1"


def test_a_reader_that_goes_away_costs_lines_and_no_request(rendering: Rendered) -> None:
    port = free_port()
    process = subprocess.Popen(
        [rendering.python, "-m", "app"],
        cwd=rendering.root,
        env=rendering.environment({"SERVER__PORT": str(port)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        while b"running on" not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        for _ in range(5):
            assert httpx2.get(f"http://127.0.0.1:{port}{ORDERS}", timeout=10).status_code == 200
    finally:
        process.kill()
        process.wait(timeout=10)


def test_logging_at_error_still_serves(rendering: Rendered, run: Run) -> None:
    service = run(rendering, LOG__LEVEL="ERROR")
    service.http.get("/nowhere")
    time.sleep(0.1)
    assert service.lines() == []
