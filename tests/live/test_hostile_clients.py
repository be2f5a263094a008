"""Clients that are slow, large, malformed or random are let go, or answered with a 4xx of the one format."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from functools import partial

import psutil
import pytest

from tests.live import exchange
from tests.live.conftest import Make
from tests.live.fuzzing import GROWTH, LAG, attack, told
from tests.live.service import Service, running

ORIGIN = "https://shop.example.com"
PATIENCE = {
    "HTTP__HEADER_TIMEOUT": "1",
    "HTTP__RECEIVE_TIMEOUT": "1",
    "HTTP__STALL_TIMEOUT": "1",
    "SERVER__KEEP_ALIVE": "2",
    "HTTP__CORS_ORIGINS": ORIGIN,
    "HTTP__TRUSTED_HOSTS": "shop,*.example.com,127.0.0.1",
}
HEAD = b"POST /api/v1/probe/body HTTP/1.1\r\nHost: shop\r\nOrigin: " + ORIGIN.encode() + b"\r\n"


@pytest.fixture(scope="module")
def service(probed: Make, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with little patience."""
    with running(probed(), tmp_path_factory.mktemp("hostile") / "service.log", PATIENCE) as found:
        yield found


def is_problem(answer: exchange.Answer, status: int) -> None:
    """An answer in the one format."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]


def open_connections(service: Service) -> int:
    """Return the number of clients that the service holds."""
    found = psutil.Process(service.process.pid).net_connections("tcp")
    return sum(one.status == "ESTABLISHED" and one.laddr.port == service.port for one in found)


def settles(service: Service, number: int) -> None:
    """It holds no more than these after a while."""
    deadline = time.monotonic() + 5
    while open_connections(service) > number:
        assert time.monotonic() < deadline, "the connection is still held"
        time.sleep(0.05)


def test_slow_headers_are_let_go(service: Service) -> None:
    answer = exchange.send(service.port, b"GET / HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 20, pause=0.2)
    is_problem(answer, 408)
    assert answer.seconds < 5


def test_a_connection_that_says_nothing_is_let_go(service: Service) -> None:
    assert exchange.send(service.port, b"").status == 408


def test_slow_headers_of_a_second_request_are_let_go(service: Service) -> None:
    with exchange.connect(service.port) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert exchange.read_all(connection).status == 200
        connection.sendall(b"GET /health/live HTTP/1.1\r\n")
        assert exchange.read_all(connection).status == 408


def test_a_slow_body_is_let_go(service: Service) -> None:
    answer = exchange.send(service.port, HEAD + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 20, pause=0.2)
    is_problem(answer, 408)
    assert answer.seconds < 5
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_a_slow_chunked_body_is_let_go(service: Service) -> None:
    answer = exchange.send(service.port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 20, pause=0.2)
    is_problem(answer, 408)


@pytest.mark.parametrize("path", ["stream?megabytes=60", "text?size=60000000"])
def test_a_slow_reader_is_let_go(path: str, service: Service) -> None:
    service.http.close()
    service.http = type(service.http)(base_url=service.url, timeout=20)
    settles(service, 0)
    with exchange.connect(service.port) as connection:
        connection.sendall(f"GET /api/v1/probe/{path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        time.sleep(0.5)
        settles(service, 0)
    service.logged(event="cut a connection whose client took nothing for 1.0 seconds")


def test_a_reader_who_takes_his_time_but_takes_gets_it_all(service: Service) -> None:
    with exchange.connect(service.port) as connection:
        connection.sendall(b"GET /api/v1/probe/stream?megabytes=20 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        received = 0
        while part := connection.recv(1_000_000):
            received += len(part)
            time.sleep(0.02)
    assert received > 20 * 1024 * 1024


def test_a_large_body_is_refused_before_it_is_read(service: Service) -> None:
    answer = exchange.send(service.port, HEAD + b"Content-Length: 2000000\r\n\r\n")
    is_problem(answer, 413)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.seconds < 0.9  # before the deadline of the body


def test_a_large_body_without_a_length_is_refused_on_the_way(service: Service) -> None:
    part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    # The client goes on sending after the answer, which is not lost by that.
    answer = exchange.send(service.port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[part] * 40)
    is_problem(answer, 413)
    (record,) = service.logged(logger="access", status=413, path="/api/v1/probe/body", code="body_too_large")[-1:]
    assert record["received"] < 40 * 65536


def test_a_large_body_without_a_length_gets_its_413(service: Service) -> None:
    part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answer = exchange.send(service.port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", part * 16 + b"1\r\nx\r\n")
    is_problem(answer, 413)


async def client(port: int, *parts: bytes, times: int = 1, stays: float = 0.0) -> None:
    """Send without reading, and leave."""
    with suppress(OSError, TimeoutError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer.transport):
            async with asyncio.timeout(10):
                for part in [parts[0], *parts[1:] * times]:
                    writer.write(part)
                    await writer.drain()
                await asyncio.sleep(stays)
            writer.transport.abort()


def harmless(service: Service, *scripts: Callable[[], Awaitable[None]]) -> None:
    """Run clients at once: they delay no other client, take no memory, and cost a line each."""

    async def all_at_once() -> None:
        await asyncio.gather(*(one() for one in scripts))

    before = len(service.lines())
    rounds = attack(service, all_at_once)
    assert rounds.delay < LAG
    assert rounds.growth < GROWTH
    settles(service, 1)
    assert len(told(service, before)) <= rounds.number * len(scripts)
    assert all(line["level"] in {"info", "warning"} for line in service.lines())


def test_trailers_without_end_are_cut_off(service: Service) -> None:
    heads = [b"GET /health/live", b"POST /api/v1/probe/body"]
    head = b" HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    harmless(
        service,
        *(partial(client, service.port, start + head, b"a:b\r\n" * 50_000, times=108) for start in heads),
    )


def test_requests_sent_far_ahead_of_their_answers_are_cut_off(service: Service) -> None:
    sent = b"GET / HTTP/1.1\r\n\r\n" * 14_000
    harmless(service, *[partial(client, service.port, sent, stays=1)] * 20)


def test_clients_that_close_while_their_requests_wait_cost_no_error(service: Service) -> None:
    sent = b"GET /api/v1/probe/slow?seconds=0.1 HTTP/1.1\r\nHost: shop\r\n\r\n" * 5
    harmless(service, *(partial(client, service.port, sent, stays=number / 20) for number in range(10)))


@pytest.mark.parametrize("rest", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"\r\n"])
def test_what_no_one_reads_ends_its_connection(rest: bytes, service: Service) -> None:
    """A body, trailers and empty lines, a byte at a time."""
    begun = time.monotonic()
    with exchange.connect(service.port) as connection, suppress(OSError):
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: shop\r\n" + rest)
        while time.monotonic() - begun < 10:
            connection.sendall(b"\r\n" if rest == b"\r\n" else b"a")
            time.sleep(0.5)
    assert time.monotonic() - begun < 8


MALFORMED = {
    "garbage": b"\x00\x01\x02garbage\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "wrong version": b"GET / HTTP/9.9\r\nHost: shop\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,
    "two lengths": b"POST /api/v1/orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "negative length": b"POST /api/v1/orders HTTP/1.1\r\nHost: shop\r\nContent-Length: -5\r\n\r\nhello",
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "space before colon": b"GET /health/live HTTP/1.1\r\nHost : shop\r\n\r\n",
    "control character in a header": b"GET /health/live HTTP/1.1\r\nHost: shop\r\nX-A: a\x00b\r\n\r\n",
    "unknown method": b"BREW /health/live HTTP/1.1\r\nHost: shop\r\n\r\n",
    "other method": b"PATCH /health/live HTTP/1.1\r\nHost: shop\r\n\r\n",
    "foreign host": b"GET /api/v1/orders HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "no host": b"GET /api/v1/orders HTTP/1.1\r\n\r\n",
    "path that is no UTF-8": b"GET /%ff%fe HTTP/1.1\r\nHost: shop\r\n\r\n",
    "NUL in the path": b"GET /api/v1/orders/%00 HTTP/1.1\r\nHost: shop\r\n\r\n",
    "path traversal": b"GET /../../etc/passwd HTTP/1.1\r\nHost: shop\r\n\r\n",
    "CR and LF in the path": b"GET /a%0d%0aSet-Cookie:x=1 HTTP/1.1\r\nHost: shop\r\n\r\n",
    "huge header": b"GET /health/live HTTP/1.1\r\nHost: shop\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_malformed_is_a_4xx_of_the_one_format(kind: str, service: Service) -> None:
    answer = exchange.send(service.port, MALFORMED[kind].replace(b"POST /api", b"POST /api", 1))
    assert (answer.status == 431) if kind == "huge header" else (400 <= answer.status < 500), answer
    is_problem(answer, answer.status)
    assert service.logged(correlation_id=answer.json()["correlation_id"])
    assert "set-cookie" not in answer.headers
    assert service.http.get("/health/live").status_code == 200
    assert "unexpected error" not in [line["event"] for line in service.lines()]


def test_every_answer_has_the_headers_that_protect(service: Service) -> None:
    for path in ("/health/live", "/nowhere", "/api/v1/probe/fail"):
        headers = service.http.get(path, headers={"Origin": ORIGIN}).headers
        assert headers["strict-transport-security"].startswith("max-age=")
        assert headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"]
        assert headers["permissions-policy"]
        assert headers["access-control-allow-origin"] == ORIGIN
        assert "server" not in headers
    assert (
        "access-control-allow-origin"
        not in service.http.get("/nowhere", headers={"Origin": "https://evil.test"}).headers
    )


def test_production_has_no_docs_unless_asked(service: Service) -> None:
    assert service.http.get("/docs").status_code == 404
    assert service.http.get("/openapi.json").status_code == 404


def test_405_names_every_method_of_the_path(service: Service) -> None:
    allowed = {
        "/api/v1/orders": "GET, HEAD, POST",
        "/api/v1/orders/1": "DELETE, GET, HEAD, PUT",
        "/health/live": "GET, HEAD",
    }
    for path, methods in allowed.items():
        answer = service.http.patch(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)
