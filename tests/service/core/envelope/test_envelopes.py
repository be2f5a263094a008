"""Answers in envelopes: successes, lists, problems, and what has none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from app.core.component import Component
from app.core.errors import PROBLEM
from tests.answers import content
from tests.conftest import Start
from tests.core.enveloped import router

THINGS = "/api/v1/things"
MEMBERS = {"success", "message", "data", "errors", "metadata", "timestamp", "status_code"}


@pytest.fixture
async def things(start: Start) -> httpx2.AsyncClient:
    """A client of the service with routes of every kind."""
    return await start(extra=[Component(name="things", routers=[router])])


async def test_a_success_has_every_member(things: httpx2.AsyncClient) -> None:
    answer = await things.get(f"{THINGS}/one")
    body = answer.json()
    assert body.keys() == MEMBERS
    assert datetime.now(UTC) - datetime.fromisoformat(body.pop("timestamp")) < timedelta(minutes=1)
    assert body == {
        "success": True,
        "message": "OK",
        "data": {"name": "bolt"},
        "errors": [],
        "metadata": {"correlation_id": answer.headers["x-correlation-id"]},
        "status_code": 200,
    }
    assert answer.headers["etag"] == '"1"'
    assert content(answer) == {"name": "bolt"}


@pytest.mark.parametrize(
    ("method", "path", "code", "message", "data"),
    [
        ("POST", "", 201, "Created", {"name": "bolt"}),
        ("POST", "?again=true", 200, "OK", {"name": "bolt"}),
        ("POST", "/later", 202, "Accepted", None),
        ("GET", "/sync", 200, "OK", {"name": "nut"}),
        ("GET", "/untyped", 200, "OK", {"any": [1, 2]}),
    ],
)
async def test_the_status_in_the_body_is_that_of_the_answer(
    things: httpx2.AsyncClient, method: str, path: str, code: int, message: str, data: object
) -> None:
    answer = await things.request(method, f"{THINGS}{path}", json={"name": "bolt"} if method == "POST" else None)
    body = answer.json()
    assert (answer.status_code, body["status_code"], body["message"], body["data"]) == (code, code, message, data)


async def test_a_page_is_a_list_with_navigation(things: httpx2.AsyncClient) -> None:
    answer = await things.get(THINGS, params={"page": 2, "size": 2})
    assert answer.json()["data"] == [{"name": "0"}, {"name": "1"}]
    assert answer.json()["metadata"] == {
        "correlation_id": answer.headers["x-correlation-id"],
        "page": 2,
        "size": 2,
        "total": 6,
        "pages": 3,
        "links": {
            "self": f"{THINGS}?page=2&size=2",
            "first": f"{THINGS}?size=2&page=1",
            "previous": f"{THINGS}?size=2&page=1",
            "next": f"{THINGS}?size=2&page=3",
            "last": f"{THINGS}?size=2&page=3",
        },
    }


async def test_a_stretch_leads_on(things: httpx2.AsyncClient) -> None:
    body = (await things.get(f"{THINGS}/feed")).json()
    assert body["data"] == [{"name": "bolt"}]
    assert body["metadata"].keys() == {"correlation_id", "size", "cursor", "links"}
    assert body["metadata"]["links"]["next"] == f"{THINGS}/feed?cursor=more"


async def test_what_has_no_json_body_of_ours_is_left_alone(things: httpx2.AsyncClient) -> None:
    assert (await things.delete(f"{THINGS}/one")).content == b""
    assert (await things.get(f"{THINGS}/text")).text == "as it is"
    assert (await things.get(f"{THINGS}/stream")).content == b"partpartpart"
    assert (await things.get(f"{THINGS}/raw")).json() == {"raw": 1}
    assert (await things.get("/health/live")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path", "code", "errors"),
    [("GET", "/taken", 409, 0), ("POST", "", 422, 1), ("GET", "/nowhere", 404, 0), ("GET", "/broken", 500, 0)],
)
async def test_a_problem_is_an_envelope_too(
    things: httpx2.AsyncClient, method: str, path: str, code: int, errors: int
) -> None:
    answer = await things.request(method, f"{THINGS}{path}")
    body = answer.json()
    assert answer.headers["content-type"] == PROBLEM
    assert body.keys() >= MEMBERS
    assert (answer.status_code, body["status"], body["status_code"]) == (code, code, code)
    assert (body["success"], body["message"], body["data"]) == (False, body["detail"], None)
    assert body["metadata"] == {"correlation_id": answer.headers["x-correlation-id"]}
    assert len(body["errors"]) == errors
    assert content(answer) == body


async def test_the_documentation_says_so(things: httpx2.AsyncClient) -> None:
    document = (await things.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]

    def shape(path: str, method: str = "get", code: str = "200") -> dict[str, Any]:
        found = document["paths"][f"{THINGS}{path}"][method]["responses"][code]["content"]["application/json"]
        named: dict[str, Any] = schemas[found["schema"]["$ref"].rpartition("/")[2]]
        assert set(named["required"]) == set(named["properties"]) == MEMBERS
        return {name: each.get("$ref", each) for name, each in named["properties"].items()}

    reference = "#/components/schemas/"
    assert shape("/one")["data"] == shape("", "post", "201")["data"] == f"{reference}Thing"
    assert shape("")["data"]["items"] == {"$ref": f"{reference}Thing"}
    assert (shape("")["metadata"], shape("/feed")["metadata"]) == (
        f"{reference}PageMetadata",
        f"{reference}CursorMetadata",
    )
    assert set(schemas["Problem"]["required"]) >= MEMBERS
    assert "content" not in document["paths"][f"{THINGS}/one"]["delete"]["responses"]["204"]
    assert document["paths"][f"{THINGS}/raw"]["get"]["responses"]["200"]["content"] == {
        "application/json": {"schema": {}}
    }
