"""Every answer of the API in an envelope, and nothing else changed."""

from typing import Any

import httpx2
import pytest

from tests.live.conftest import Make, Run
from tests.live.service import ORDERS, Service, order

MEMBERS = {"success", "message", "data", "errors", "metadata", "timestamp", "status_code"}


@pytest.fixture
def service(base: str, rendered: Make, run: Run) -> Service:
    """A service on each database, with its documentation open."""
    return run(rendered(database=base, extensions=[], response_format="envelope"), HTTP__DOCS="true")


def success(answer: httpx2.Response, status: int = 200) -> dict[str, Any]:
    """The envelope of a success, checked for what all of them have in common."""
    body: dict[str, Any] = answer.json()
    assert body.keys() == MEMBERS
    assert (answer.status_code, body["status_code"], body["success"], body["errors"]) == (status, status, True, [])
    assert answer.headers["content-type"] == "application/json"
    assert body["metadata"]["correlation_id"] == answer.headers["x-correlation-id"]
    return body


def test_an_order_lives_in_envelopes(service: Service) -> None:
    http = service.http
    placed = http.post(ORDERS, json=order("first"))
    assert success(placed, 201)["message"] == "Created"
    where, tag = placed.headers["location"], placed.headers["etag"]
    read = http.get(where)
    assert success(read)["data"] == success(placed, 201)["data"]
    assert read.json()["data"]["total"] == 300
    assert read.headers["etag"] == tag
    changed = http.put(where, json=order("second"), headers={"If-Match": tag})
    assert success(changed)["data"]["reference"] == "second"
    assert http.put(where, json=order("third"), headers={"If-Match": tag}).status_code == 412
    shipped = http.post(f"{where}/ship", headers={"If-Match": changed.headers["etag"]})
    assert success(shipped)["data"]["status"] == "shipped"
    deleted = http.delete(where, headers={"If-Match": shipped.headers["etag"]})
    assert (deleted.status_code, deleted.content) == (204, b"")


def test_lists_have_their_navigation_in_the_metadata(service: Service) -> None:
    http = service.http
    for number in range(5):
        success(http.post(ORDERS, json=order(f"R-{number}")), 201)
    found, where = [], f"{ORDERS}?size=2&sort=reference"
    while where:
        page = success(http.get(where))
        assert page["metadata"].keys() == {"correlation_id", "page", "size", "total", "pages", "links"}
        assert (page["metadata"]["total"], page["metadata"]["pages"]) == (5, 3)
        found += [item["reference"] for item in page["data"]]
        where = page["metadata"]["links"]["next"]
    assert found == [f"R-{number}" for number in range(5)]
    found, where = [], f"{ORDERS}/feed?size=2"
    while where:
        page = success(http.get(where))
        found += [item["reference"] for item in page["data"]]
        where = page["metadata"]["links"]["next"]
    assert found == [f"R-{number}" for number in reversed(range(5))]


def test_an_error_is_a_problem_and_an_envelope(service: Service) -> None:
    http = service.http
    answers = {
        404: http.get(f"{ORDERS}/999"),
        405: http.patch(ORDERS),
        413: http.post(ORDERS, content=b"x" * 2_000_000),
        422: http.post(ORDERS, json={}),
    }
    for status, answer in answers.items():
        body = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert body.keys() == MEMBERS | {"type", "title", "status", "detail", "instance", "code", "correlation_id"}
        assert (answer.status_code, body["status"], body["status_code"]) == (status, status, status)
        assert (body["success"], body["message"], body["data"]) == (False, body["detail"], None)
        assert body["metadata"] == {"correlation_id": answer.headers["x-correlation-id"]}
        assert bool(body["errors"]) == (status == 422)


def test_what_machines_read_is_as_ever(service: Service) -> None:
    assert service.http.get("/health/live").json() == {"status": "ok"}
    assert service.http.get("/health").json()["status"] == "ok"
    document = service.http.get("/openapi.json").json()
    paths = document["paths"]
    schemas = document["components"]["schemas"]
    for code, method, path in (("200", "get", ORDERS), ("201", "post", ORDERS), ("200", "get", f"{ORDERS}/feed")):
        content = paths[path][method]["responses"][code]["content"]["application/json"]["schema"]
        assert set(schemas[content["$ref"].rpartition("/")[2]]["required"]) == MEMBERS
    assert "content" not in paths[f"{ORDERS}/{{order_id}}"]["delete"]["responses"]["204"]
    assert set(schemas["Problem"]["required"]) > MEMBERS


def test_without_it_nothing_of_it_is_there(base: str, rendered: Make, run: Run) -> None:
    service = run(rendered(database=base, extensions=[]))
    placed = service.http.post(ORDERS, json=order("first"))
    assert placed.json()["reference"] == "first"
    assert not placed.json().keys() & MEMBERS
    assert not service.http.get("/nowhere").json().keys() & {"success", "message", "data", "metadata", "status_code"}
