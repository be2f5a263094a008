"""Gzip for those who ask, of whole answers above a kilobyte, once."""

import gzip
from collections.abc import Iterator

import pytest

from tests.live import exchange
from tests.live.conftest import Make
from tests.live.service import ORDERS, Service, order, running


@pytest.fixture(scope="module")
def service(probed: Make, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with some texts."""
    with running(probed(), tmp_path_factory.mktemp("compression") / "service.log") as found:
        yield found


def get(service: Service, path: str, accept: str | None = None) -> exchange.Answer:
    """An answer as it came over the wire."""
    asked = f"Accept-Encoding: {accept}\r\n" if accept else ""
    return exchange.send(service.port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{asked}\r\n".encode())


def test_a_large_text_is_compressed_for_those_who_ask(service: Service) -> None:
    answer = get(service, "/api/v1/probe/text?size=20000", "br, gzip;q=0.8")
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(answer.body) < 1000
    assert gzip.decompress(answer.body) == b"abcdefgh" * 2500
    assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("accept", [None, "identity", "br", "gzip;q=0", "gzip; q=0.0, identity"])
def test_it_is_not_for_those_who_do_not(accept: str | None, service: Service) -> None:
    answer = get(service, "/api/v1/probe/text?size=20000", accept)
    assert "content-encoding" not in answer.headers
    assert len(answer.body) == 20000


def test_a_small_text_is_left_as_it_is(service: Service) -> None:
    assert "content-encoding" not in get(service, "/api/v1/probe/text?size=1000", "gzip").headers


def test_a_stream_is_left_as_it_is(service: Service) -> None:
    answer = get(service, "/api/v1/probe/stream?megabytes=1", "gzip")
    assert "content-encoding" not in answer.headers
    assert answer.headers["transfer-encoding"] == "chunked"


def test_an_etag_still_matches_after_compression(service: Service) -> None:
    lines = [{"sku": f"A-{number}", "quantity": 1, "unit_price": 1} for number in range(100)]
    placed = service.http.post(ORDERS, json=order("large", lines=lines), headers={"Accept-Encoding": "gzip"})
    assert placed.headers["content-encoding"] == "gzip"
    read = service.http.get(placed.headers["location"], headers={"Accept-Encoding": "gzip"})
    changed = service.http.put(
        placed.headers["location"], json=order("less"), headers={"If-Match": read.headers["etag"]}
    )
    assert changed.status_code == 200
