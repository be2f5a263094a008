"""Keys and bodies that the framework does not read: a key means the same whoever reads the body."""

import hashlib
import json
from collections.abc import AsyncIterator

import anyio
import httpx2
import pytest
from starlette.types import Message

from app.core.component import Component
from tests.answers import content
from tests.conftest import Serve, Start
from tests.core.exchanges import exchange

pytestmark = pytest.mark.anyio
DEEDS = "/api/v1/deeds"


@pytest.fixture
async def client(start: Start, deeds: Component) -> httpx2.AsyncClient:
    """A client of a service with deeds."""
    return await start(extra=[deeds])


async def test_a_body_and_an_answer_in_parts(client: httpx2.AsyncClient) -> None:
    for _ in range(2):
        answer = await client.post(f"{DEEDS}/stream", content=b"-abc", headers={"Idempotency-Key": "key-1"})
        assert answer.content == b"1-abc"
    longer = await client.post(f"{DEEDS}/stream", content=b"-abcd", headers={"Idempotency-Key": "key-1"})
    assert longer.status_code == 422


async def send(client: httpx2.AsyncClient, path: str, *parts: bytes) -> httpx2.Response:
    """Send a body without a length, with a key."""

    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return await client.post(DEEDS + path, content=body(), headers={"Idempotency-Key": "key-1"})


async def test_a_body_that_the_route_reads_itself_is_known_by_its_content(client: httpx2.AsyncClient) -> None:
    for parts in ((b"-abc",), (b"-a", b"bc"), (b"", b"-", b"abc")):
        assert (await send(client, "/stream", *parts)).content == b"1-abc"
    other = await send(client, "/stream", b"-abd")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_body_that_nobody_reads_counts_as_well(client: httpx2.AsyncClient) -> None:
    answers = [await send(client, "/momentary/409?late=1", body) for body in (b"{}", b"{}", b"[]")]
    assert [answer.status_code for answer in answers] == [409, 409, 422]


async def test_a_body_that_is_too_large_is_refused_as_ever(start: Start, deeds: Component) -> None:
    client = await start(extra=[deeds], http={"body_limit": 1000})
    for body in (b"x" * 2000, b"x" * 2000):
        assert (await send(client, "/stream", body[:900], body[900:])).status_code == 413
    assert (await send(client, "/stream", b"-abc")).content == b"1-abc"


async def test_a_key_means_nothing_to_a_route_that_takes_larger_bodies(client: httpx2.AsyncClient) -> None:
    for body in (b"abc", b"abd", b"abc", b"x" * 2_000_000):
        answer = await client.post(f"{DEEDS}/large", content=body, headers={"Idempotency-Key": "key-1"})
        assert content(answer) == hashlib.sha256(body).hexdigest()
        assert "idempotency-replayed" not in answer.headers


async def test_a_client_that_goes_away_while_it_sends_leaves_the_key_free(serve: Serve, deeds: Component) -> None:
    app = await serve(extra=[deeds])

    async def send_parts(*parts: Message) -> tuple[int, str | None]:
        waiting = list(parts)

        async def receive() -> Message:
            if not waiting:
                await anyio.sleep_forever()
            return waiting.pop(0)

        headers = [(b"idempotency-key", b"key-1")]
        answer = await exchange(app, f"{DEEDS}/stream", method="POST", headers=headers, receive=receive)
        return answer.status, json.loads(answer.body)["code"] if answer.status >= 400 else None

    half: Message = {"type": "http.request", "body": b"-a", "more_body": True}
    assert await send_parts(half, {"type": "http.disconnect"}) == (400, "bad_request")
    assert await send_parts(half, {"type": "http.request", "body": b"bc"}) == (200, None)
