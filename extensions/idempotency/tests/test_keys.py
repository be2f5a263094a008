"""Keys as callers use them: a repeated request is carried out once."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.core.component import Component
from app.extensions.idempotency.middleware import wrap_endpoints
from tests.answers import content
from tests.conftest import Start
from tests.extensions.idempotency.conftest import plain

pytestmark = pytest.mark.anyio
DEEDS = "/api/v1/deeds"


@pytest.fixture
async def client(start: Start, deeds: Component) -> httpx2.AsyncClient:
    """A client of a service with deeds."""
    return await start(extra=[deeds])


async def post(client: httpx2.AsyncClient, key: str | None, path: str = "", **more: Any) -> httpx2.Response:
    """Send a request with a key."""
    headers = {**({"Idempotency-Key": key} if key is not None else {}), **more.pop("headers", {})}
    return await client.post(DEEDS + path, json={"name": "paint", **more}, headers=headers)


async def test_a_repetition_gets_the_first_answer_again(client: httpx2.AsyncClient) -> None:
    first = await post(client, "key-1")
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    again = await post(client, "key-1")
    assert again.status_code == 201
    assert content(first) == {"times": 1, "filling": ""}
    assert again.content == first.content
    for name in ("content-type", "location", "etag", "content-length"):
        assert again.headers.get_list(name) == first.headers.get_list(name), name
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-correlation-id"] != first.headers["x-correlation-id"]
    assert "set-cookie" not in again.headers
    assert content(await post(client, "key-2"))["times"] == 2
    assert content(await post(client, None))["times"] == 3
    assert content(await post(client, None))["times"] == 4


@pytest.mark.parametrize("other", [{"name": "sand"}, {"seconds": 0.001}])
async def test_a_key_with_another_body_is_refused(client: httpx2.AsyncClient, other: dict[str, Any]) -> None:
    await post(client, "key-1")
    answer = await post(client, "key-1", **other)
    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_key_reused"


async def test_a_key_with_another_query_is_refused(client: httpx2.AsyncClient) -> None:
    await post(client, "key-1")
    assert (await post(client, "key-1", "?a=1")).status_code == 422


async def test_a_key_belongs_to_a_path_and_a_method(client: httpx2.AsyncClient) -> None:
    assert content(await post(client, "key-1"))["times"] == 1
    for _ in range(2):
        other = await client.put(f"{DEEDS}/put", json={"name": "paint"}, headers={"Idempotency-Key": "key-1"})
        assert content(other)["times"] == 2


async def test_a_key_belongs_to_whoever_sent_it(client: httpx2.AsyncClient) -> None:
    async def times(key: str) -> int:
        found: int = content(await post(client, "key-1", "/mine", headers={"X-API-Key": key}))["times"]
        return found

    assert [await times(key) for key in ("ada", "bob", "ada", "bob")] == [1, 2, 1, 2]
    # The same caller with renewed credentials.
    assert await times("ada renewed") == 1


async def test_nobody_gets_an_answer_again_without_right_credentials(client: httpx2.AsyncClient) -> None:
    await post(client, "key-1", "/mine", headers={"X-API-Key": "ada"})
    assert (await post(client, "key-1", "/mine", headers={"X-API-Key": "wrong ada"})).status_code == 401


async def test_twenty_parallel_repetitions_do_it_once(client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(post(client, "key-1", seconds=0.3) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    done = [answer for answer in answers if answer.status_code == 201]
    assert {content(answer)["times"] for answer in done} == {1}
    refused = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["code"] for answer in refused} == {"request_in_progress"}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert content(await post(client, "key-1", seconds=0.3))["times"] == 1


async def test_a_refusal_is_repeated_too(client: httpx2.AsyncClient) -> None:
    answers = [await client.post(f"{DEEDS}/rule", headers={"Idempotency-Key": "key-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].content == answers[1].content
    assert answers[1].json()["detail"] == "attempt 1"


async def test_what_is_refused_before_it_begins_leaves_the_key_free(client: httpx2.AsyncClient) -> None:
    assert (await post(client, "key-1", seconds="long")).status_code == 422
    assert (await post(client, "key-1")).status_code == 201


async def test_a_failure_leaves_the_key_free(client: httpx2.AsyncClient) -> None:
    assert (await post(client, "key-1", "/fail")).status_code == 500
    for _ in range(2):
        assert content(await post(client, "key-1", "/fail")) == 1


async def test_a_503_leaves_the_key_free(client: httpx2.AsyncClient) -> None:
    answers = [await client.post(f"{DEEDS}/unavailable", headers={"Idempotency-Key": "key-1"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 200, 200]
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, None, "true"]


async def test_taking_the_key_is_nothing_that_the_request_has_stored(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/v1/deeds/away", headers={"Idempotency-Key": "one"})
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unreachable")


@pytest.mark.parametrize("status", [409, 412, 423, 425, 428, 429])
async def test_a_refusal_of_the_moment_leaves_the_key_free(client: httpx2.AsyncClient, status: int) -> None:
    path, key = f"{DEEDS}/momentary/{status}", {"Idempotency-Key": "key-1"}
    answers = [await client.post(path, headers=key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, 200, 200]
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, None, "true"]


@pytest.mark.parametrize("status", [409, 412, 423, 425, 428, 429])
async def test_a_refusal_of_the_moment_after_a_commit_is_kept(client: httpx2.AsyncClient, status: int) -> None:
    path, key = f"{DEEDS}/momentary/{status}?late=1", {"Idempotency-Key": "key-1"}
    answers = [await client.post(path, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, status]
    assert answers[1].headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("status", [400, 403, 404, 410, 422])
async def test_a_refusal_for_good_is_kept(client: httpx2.AsyncClient, status: int) -> None:
    path, key = f"{DEEDS}/momentary/{status}", {"Idempotency-Key": "key-1"}
    assert [(await client.post(path, headers=key)).status_code for _ in range(2)] == [status, status]


async def test_what_was_committed_before_a_failure_is_not_done_again(client: httpx2.AsyncClient) -> None:
    assert (await post(client, "key-1", "/fail-late")).status_code == 500
    answer = await post(client, "key-1", "/fail-late")
    assert answer.status_code == 409
    assert answer.json()["code"] == "answer_not_kept"


async def test_an_answer_that_is_too_large_is_not_kept_and_nothing_is_done_again(
    start: Start, deeds: Component
) -> None:
    client = await start(extra=[deeds], idempotency={"answer_limit": 1000})
    first = await post(client, "key-1", size=5000)
    assert first.status_code == 201
    assert len(content(first)["filling"]) == 5000
    assert (await post(client, "key-1", size=5000)).json()["code"] == "answer_not_kept"
    assert content(await post(client, "key-2", size=100))["times"] == 2


async def test_an_endpoint_without_async(client: httpx2.AsyncClient) -> None:
    answers = [await post(client, key, "/sync") for key in ("key-1", "key-1", None)]
    assert [content(answer) for answer in answers] == ["paint"] * 3
    assert ["idempotency-replayed" in answer.headers for answer in answers] == [False, True, False]


async def test_a_route_of_fastapis_own_router(client: httpx2.AsyncClient) -> None:
    assert [content(await post(client, key, "/plain")) for key in ("key-1", "key-1", None)] == [1, 1, 2]


async def test_an_answer_in_lines_is_not_stored(client: httpx2.AsyncClient) -> None:
    assert [(await post(client, "key-1", "/lines")).text.strip() for _ in range(2)] == ["1", "2"]


def test_endpoints_are_wrapped_once_however_many_services_use_their_routes() -> None:
    app = FastAPI()
    app.include_router(plain)
    paths = {"/api/v1/deeds/plain", "/api/v1/deeds/lines"}
    calls = []
    for _ in range(2):
        wrap_endpoints(app)
        calls.append([route.dependant.call for route in iter_route_contexts(app.routes) if route.path in paths])
    assert calls[0] == calls[1]
    assert any(hasattr(call, "__answered_once__") for call in calls[0])


async def test_an_answer_that_is_compressed_is_kept_for_whoever_takes_it_plain(client: httpx2.AsyncClient) -> None:
    zipped = await post(client, "key-1", size=5000, headers={"Accept-Encoding": "gzip"})
    plain = await post(client, "key-1", size=5000, headers={"Accept-Encoding": "identity"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert content(zipped) == content(plain)


async def test_keys_mean_nothing_to_safe_methods(client: httpx2.AsyncClient) -> None:
    answers = [await client.get(f"{DEEDS}/read", headers={"Idempotency-Key": "key-1"}) for _ in range(2)]
    assert [content(answer) for answer in answers] == [1, 2]


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "ümlaut"])
async def test_a_key_that_cannot_be_read_is_refused(client: httpx2.AsyncClient, key: str) -> None:
    answer = await client.post(DEEDS, json={"name": "paint"}, headers={b"Idempotency-Key": key.encode()})
    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency_key_invalid"


@pytest.mark.parametrize("key", ["x" * 255, '"quoted"', str(uuid4())])
async def test_a_key_is_any_visible_text(client: httpx2.AsyncClient, key: str) -> None:
    assert [content(await post(client, key))["times"] for _ in range(2)] == [1, 1]


async def test_keys_may_be_off(start: Start, deeds: Component) -> None:
    client = await start(extra=[deeds], idempotency={"paths": ""})
    assert [content(await post(client, "key-1"))["times"] for _ in range(2)] == [1, 2]
