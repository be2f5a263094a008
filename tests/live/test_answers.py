"""The end of an answer ends its request, whatever runs on after it; and what must arrive as it is does."""

import gzip
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.extensions.collector import Collector, collecting
from tests.live import exchange
from tests.live.conftest import Make, Run
from tests.live.service import Rendered, Service, running

PROBE = "/api/v1/probe"
FILE = Path(__file__).parent / "slices" / "probe.py"
SHORT = {"HTTP__REQUEST_TIMEOUT": "1", "LOG__SLOW_REQUEST": "0.5"}
LONG = 2.5
"""Seconds that a background task takes: longer than a request may."""


@pytest.fixture(scope="module")
def measured(probed: Make) -> Rendered:
    """A service that counts and traces its requests."""
    return probed(extensions=["prometheus", "tracing"])


@pytest.fixture(scope="module")
def collector(measured: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """The collector that receives its spans."""
    with collecting(measured, tmp_path_factory.mktemp("collector")) as made:
        yield made


@pytest.fixture(scope="module")
def service(measured: Rendered, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service, in which a request may take a second."""
    settings = {**SHORT, "TRACING__ENDPOINT": collector.endpoint, "TRACING__FLUSH_INTERVAL": "0.1"}
    with running(measured, tmp_path_factory.mktemp("answers") / "service.log", settings) as found:
        yield found


def ask(service: Service, path: str, *headers: str, close: bool = True) -> exchange.Answer:
    """An answer as it came over the wire."""
    lines = [f"GET {PROBE}{path} HTTP/1.1", "Host: x", *headers, *(["Connection: close"] if close else [])]
    return exchange.send(service.port, "\r\n".join([*lines, "", ""]).encode())


def two_on_one_connection(service: Service, path: str) -> bytes:
    """All that comes back for a request, and another one on the same connection."""
    with exchange.connect(service.port) as connection:
        connection.sendall(f"GET {PROBE}{path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        time.sleep(0.2)
        connection.sendall(f"GET {PROBE}/caller HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def test_a_background_task_may_take_longer_than_a_request(service: Service) -> None:
    answer = service.http.get(f"{PROBE}/background?seconds={LONG}")
    assert (answer.status_code, answer.json()) == (200, "accepted")
    service.logged(event="the work is done", correlation_id=answer.headers["x-correlation-id"])
    assert "gave up a request" not in service.text()


@pytest.mark.parametrize("path", [f"/background?seconds={LONG}", "/events?seconds=0.3"], ids=["task", "stream"])
def test_a_request_is_measured_to_the_end_of_its_answer(path: str, service: Service, collector: Collector) -> None:
    answer = service.http.get(f"{PROBE}{path}")
    ids = {"correlation_id": answer.headers["x-correlation-id"]}
    (record,) = service.logged(logger="access", **ids)
    assert (record["event"], record["level"]) == ("request", "info")
    assert record["duration"] < 0.5
    route = PROBE + path.partition("?")[0]
    sums = [line for line in service.http.get("/metrics").text.splitlines() if f'route="{route}"' in line]
    (seconds,) = [float(line.split()[1]) for line in sums if line.startswith("http_request_duration_seconds_sum")]
    (count,) = [float(line.split()[1]) for line in sums if line.startswith("http_request_duration_seconds_count")]
    assert seconds / count < 0.5
    (span,) = collector.until(lambda: collector.spans(trace_id=answer.headers["x-correlation-id"], kind="server"))
    assert span["attributes"]["http.response.status_code"] == 200
    time.sleep(0.5)
    assert [
        line
        for line in service.lines()
        if line["level"] == "error" and line["logger"] != "app.core.http.request_middleware"
    ] == []


def test_a_background_task_that_fails_is_logged_and_the_connection_serves_on(service: Service) -> None:
    received = two_on_one_connection(service, "/background?seconds=0&fail=true")
    assert received.count(b"HTTP/1.1 200") == 2
    (line,) = service.logged(event="unexpected error", level="error")
    assert "the work failed" in str(line["exception"])
    assert service.logged(logger="access", correlation_id=line["correlation_id"])[0]["status"] == 200


def test_a_background_task_outlives_a_client_that_leaves_a_stream(service: Service) -> None:
    with exchange.connect(service.port) as connection:
        connection.sendall(f"GET {PROBE}/endless?seconds={LONG} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = connection.recv(65536)
    (correlation_id,) = re.findall(rb"x-correlation-id: (\w+)", head)
    ids = {"correlation_id": correlation_id.decode()}
    service.logged(event="the work is done", **ids)
    (record,) = service.logged(logger="access", **ids)
    assert record["duration"] < LONG
    assert "gave up a request" not in service.text()


def test_a_stop_waits_for_background_tasks(measured: Rendered, run: Run) -> None:
    service = run(measured, LIFECYCLE__DRAIN="0", **SHORT)
    assert service.http.get(f"{PROBE}/background?seconds={LONG}").status_code == 200
    assert service.stop() == -signal.SIGTERM
    service.logged(event="the work is done")


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_stream_of_two_minutes_and_a_task_of_one_reach_their_ends_by_the_defaults(
    measured: Rendered, run: Run
) -> None:
    service = run(measured)
    assert service.http.get(f"{PROBE}/background?seconds=60").status_code == 200
    started = time.monotonic()
    with exchange.connect(service.port) as connection:
        connection.sendall(f"GET {PROBE}/endless?seconds=0 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while time.monotonic() - started < 120:
            assert connection.recv(65536), "the stream has ended"
    service.logged(event="the work is done")
    assert "cancelled" not in service.text()


def test_a_part_of_a_file_is_not_compressed(service: Service) -> None:
    answer = ask(service, "/file", "Range: bytes=0-1999", "Accept-Encoding: gzip")
    assert answer.status == 206
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-range"] == f"bytes 0-1999/{FILE.stat().st_size}"
    assert answer.body == FILE.read_bytes()[:2000]


def test_a_compressed_file_offers_no_parts(service: Service) -> None:
    whole = ask(service, "/file", "Accept-Encoding: gzip")
    assert gzip.decompress(whole.body) == FILE.read_bytes()
    assert whole.headers["etag"].startswith("W/")
    assert "accept-ranges" not in whole.headers
    assert ask(service, "/file").headers["accept-ranges"] == "bytes"


def test_the_length_of_a_head_is_that_of_the_file(service: Service) -> None:
    answer = service.http.head(f"{PROBE}/file", headers={"Accept-Encoding": "gzip"})
    assert int(answer.headers["content-length"]) == FILE.stat().st_size
    assert "content-encoding" not in answer.headers


def test_a_file_that_is_shorter_than_announced_breaks_the_connection(service: Service) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        service.http.get(f"{PROBE}/shrunk", headers={"Accept-Encoding": "gzip"})


def test_the_head_of_a_stream_is_sent_at_once(service: Service) -> None:
    with exchange.connect(service.port) as connection:
        connection.sendall(
            f"GET {PROBE}/events?seconds=0.8 HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".encode()
        )
        connection.settimeout(0.5)
        head = connection.recv(65536)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"data:" not in head
        connection.settimeout(10)
        assert b"data: 1" in connection.recv(65536)


@pytest.mark.parametrize("path", ["/raised?status={}", "/returned?status={}&size=10", "/returned?status={}&size=5000"])
@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none_and_the_connection_serves_on(
    status: int, path: str, service: Service
) -> None:
    first, _, second = two_on_one_connection(service, path.format(status)).partition(b"\r\n\r\n")
    assert first.startswith(f"HTTP/1.1 {status}".encode())
    assert second.startswith(b"HTTP/1.1 200")
    for name in (b"content-length", b"content-type", b"transfer-encoding", b"content-encoding"):
        assert b"\n" + name not in first.lower()
    if "raised" in path:
        assert b'etag: "7"' in first.lower()
