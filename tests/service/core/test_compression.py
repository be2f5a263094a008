"""gzip, for answers that gain from it."""

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from app.core.component import Component
from app.core.http.compression import LEAST
from tests.conftest import Serve
from tests.core.exchanges import Answer, exchange

TEXT = b"abcdefgh" * 1000
ANSWERS = {
    "large": Response(TEXT, media_type="text/plain", headers={"ETag": '"1"'}),
    "weak": Response(TEXT, media_type="text/plain", headers={"ETag": 'W/"1"'}),
    "least": Response(TEXT[:LEAST], media_type="text/plain"),
    "small": Response(TEXT[: LEAST - 1], media_type="text/plain"),
    "packed": Response(gzip.compress(TEXT * 20), media_type="text/plain", headers={"Content-Encoding": "gzip"}),
    "image": Response(TEXT, media_type="image/png"),
    "events": Response(TEXT, media_type="text/event-stream"),
}
Ask = Callable[[str, bytes | None], Awaitable[Answer]]
router = APIRouter()


@router.get("/answers/{name}")
async def answer(name: str) -> Response:
    """One of them."""
    return ANSWERS[name]


@router.get("/stream")
async def stream() -> StreamingResponse:
    """In parts."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield TEXT

    return StreamingResponse(parts(), media_type="text/plain")


@pytest.fixture
def ask(serve: Serve) -> Ask:
    async def get(path: str, accepts: bytes | None) -> Answer:
        app = await serve(extra=[Component(name="answers", routers=[router])])
        return await exchange(app, path, headers=[(b"accept-encoding", accepts)] if accepts is not None else [])

    return get


@pytest.mark.parametrize("accepts", [b"gzip", b"br, gzip;q=0.5", b"deflate, gzip, br"])
async def test_a_large_answer_is_compressed_for_who_asks(ask: Ask, accepts: bytes) -> None:
    found = await ask("/answers/large", accepts)
    assert found.headers[b"content-encoding"] == b"gzip"
    assert gzip.decompress(found.body) == TEXT
    assert int(found.headers[b"content-length"]) == len(found.body) < len(TEXT) // 5
    assert found.headers[b"etag"] == b'W/"1"'
    assert found.body[8] == 4, "level 1 says so in the header"


@pytest.mark.parametrize("accepts", [None, b"", b"identity", b"br", b"gzip;q=0", b"gzip; q=0.0, br", b"*;q=0"])
async def test_who_does_not_ask_gets_it_as_it_is(ask: Ask, accepts: bytes | None) -> None:
    found = await ask("/answers/large", accepts)
    assert b"content-encoding" not in found.headers
    assert found.body == TEXT
    assert found.headers[b"etag"] == b'"1"'


@pytest.mark.parametrize(("name", "packed"), [("least", True), ("small", False), ("image", False), ("events", False)])
async def test_what_gains_nothing_is_left_alone(ask: Ask, name: str, packed: bool) -> None:
    found = await ask(f"/answers/{name}", b"gzip")
    assert (b"content-encoding" in found.headers) is packed
    assert int(found.headers[b"content-length"]) == len(found.body)


async def test_nothing_is_compressed_twice(ask: Ask) -> None:
    found = await ask("/answers/packed", b"gzip")
    assert gzip.decompress(found.body) == TEXT * 20


async def test_a_weak_etag_stays_as_it_is(ask: Ask) -> None:
    assert (await ask("/answers/weak", b"gzip")).headers[b"etag"] == b'W/"1"'


async def test_a_stream_goes_through_part_by_part(ask: Ask) -> None:
    found = await ask("/stream", b"gzip")
    assert [message["body"] for message in found.messages[1:]] == [TEXT, TEXT, TEXT, b""]
    assert b"content-encoding" not in found.headers


@pytest.mark.parametrize("accepts", [None, b"gzip"])
async def test_what_a_cache_keeps_depends_on_the_encoding(ask: Ask, accepts: bytes | None) -> None:
    vary = [value for name, value in (await ask("/answers/large", accepts)).messages[0]["headers"] if name == b"vary"]
    assert any(b"Accept-Encoding" in value for value in vary)
