"""The topics of FastAPI's tutorial work in a feature as they are typed, in `slices/`, called over one server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live.conftest import Make
from tests.live.service import BOUND, Rendered, Service, running

SLICES = Path(__file__).parent / "slices"
SOURCE = (SLICES / "tutorial.py").read_text()
FEATURES = '''"""The features."""

from app.core.component import Component
from app.core.settings import Group, Settings
from app.features import tutorial, tutorial_guards

SETTINGS: list[type[Group]] = []


def components(_: Settings) -> list[Component]:
    """Return each feature."""
    return [tutorial.component(), tutorial_guards.component()]
'''


@pytest.fixture(scope="module")
def written(rendered: Make) -> Rendered:
    """A service whose owner has typed the topics into a feature."""
    service = rendered(copy=True)
    features = service.root / "app" / "features"
    for name in ("tutorial.py", "tutorial_guards.py"):
        (features / name).write_text((SLICES / name).read_text())
    (features / "__init__.py").write_text(FEATURES)
    return service


@pytest.fixture(scope="module")
def service(written: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(written, tmp_path_factory.mktemp("tutorial") / "log", {"HTTP__DOCS": "true"}) as started:
        yield started


@pytest.fixture
def http(service: Service) -> Iterator[httpx2.Client]:
    """A client without the cookies of other tests."""
    with httpx2.Client(base_url=f"{service.url}/tutorial/", timeout=BOUND) as client:
        yield client


ITEM = {"name": "lamp", "price": 2.5, "images": [{"url": "a.png"}]}
ANSWERS: dict[str, tuple[str, str, dict[str, Any], int, Any]] = {
    "path and query": ("GET", "sizes/small?q=x", {}, 200, {"size": "small", "q": "x"}),
    "wrong enum": ("GET", "sizes/huge", {}, 422, {"code": "validation_failed"}),
    "long query": ("GET", "sizes/small?q=toolong", {}, 422, {"code": "validation_failed"}),
    "rest of a path": ("GET", "files/a/b.txt", {}, 200, "a/b.txt"),
    "query as a model": ("GET", "filtered?limit=2&tags=a&tags=b", {}, 200, {"limit": 2, "tags": ["a", "b"]}),
    "body": ("POST", "items", {"json": {"item": ITEM, "importance": 3}}, 201, {**ITEM, "note": "3"}),
    "wrong body": ("POST", "items", {"json": {"item": {**ITEM, "price": 0}}}, 422, {"code": "validation_failed"}),
    "embedded body": ("PUT", "items/known", {"json": {"item": ITEM}}, 200, {"name": "lamp"}),
    "another status": ("PUT", "items/new", {"json": {"item": ITEM}}, 201, {"name": "lamp"}),
    "no body": ("DELETE", "items/1", {}, 204, None),
    "headers": ("GET", "cookie", {"headers": [("X-Token", "a"), ("X-Token", "b")]}, 200, {"tokens": ["a", "b"]}),
    "cookie": ("GET", "cookie", {"headers": {"Cookie": "session=old"}}, 200, {"session": "old"}),
    "form": ("POST", "form", {"data": {"name": "ada", "age": "3"}}, 200, {"name": "ada", "age": 3}),
    "form without a field": ("POST", "form", {"data": {"age": "3"}}, 422, {"code": "validation_failed"}),
    "structured error": ("GET", "errors/structure", {}, 409, {"details": {"reason": "taken", "by": ["ada"]}}),
    "own HTTPException": ("GET", "errors/own", {}, 418, {"detail": "short and stout"}),
    "HTTPException(204)": ("GET", "errors/204", {}, 204, None),
    "HTTPException(304)": ("GET", "errors/304", {}, 304, None),
    "HTTPException(103)": ("GET", "errors/103", {}, 500, {"code": "internal_error"}),
    "dependencies": ("GET", "depends?limit=3", {}, 200, {"limit": 3, "opened": "session on connection"}),
    "dependency translates": ("GET", "depends/fails", {}, 404, {"detail": "no such key"}),
    "dependency of a route": ("GET", "verified", {"headers": {"X-Verified": "yes"}}, 200, "verified"),
    "dependency refuses": ("GET", "verified", {"headers": {"X-Verified": "no"}}, 400, {"code": "bad_request"}),
    "log in": ("POST", "token", {"data": {"username": "ada", "password": "ada"}}, 200, {"token_type": "bearer"}),
    "wrong password": ("POST", "token", {"data": {"username": "ada", "password": "x"}}, 400, {"code": "bad_request"}),
    "token": ("GET", "me", {"headers": {"Authorization": "Bearer ada-token"}}, 200, "ada"),
    "no token": ("GET", "me", {}, 401, {"code": "authentication_failed"}),
    "basic": ("GET", "basic", {"auth": ("ada", "x")}, 200, "ada"),
    "key": ("GET", "key", {"headers": {"X-Own-Key": "k"}}, 200, "k"),
    "request": ("GET", "request", {}, 200, {"host": "127.0.0.1"}),
    "sub-application": ("GET", "sub/hello", {}, 200, {"root": "/tutorial/sub", "opened": "by the sub-application"}),
    "error of a sub-application": ("GET", "sub/fail", {}, 404, {"detail": {"reason": "inside"}}),
}


@pytest.mark.parametrize("topic", ANSWERS)
def test_a_topic_of_the_tutorial_works(topic: str, http: httpx2.Client) -> None:
    method, path, sent, status, expected = ANSWERS[topic]
    answer = http.request(method, path, **sent)
    assert answer.status_code == status, answer.text
    if expected is None:
        assert answer.content == b""
    elif isinstance(expected, dict):
        assert expected.items() <= answer.json().items(), answer.text
    else:
        assert answer.json() == expected
    assert status == 500 or "x-process-time" in answer.headers  # of the owner's middleware
    assert http.get("text").text == "hello"  # the connection serves on


RESPONSES = {
    "html": ("text/html; charset=utf-8", "<h1>hello</h1>"),
    "text": ("text/plain; charset=utf-8", "hello"),
    "xml": ("application/xml", "<a/>"),
    "download": ("text/x-python; charset=utf-8", SOURCE),
    "static/tutorial.py": ("text/x-python; charset=utf-8", SOURCE),
}


@pytest.mark.parametrize("path", RESPONSES)
def test_a_response_of_any_kind_arrives_as_it_is(path: str, http: httpx2.Client) -> None:
    kind, text = RESPONSES[path]
    answer, head = http.get(path), http.head(path)
    assert (answer.headers["content-type"], answer.text) == (kind, text)
    assert (head.status_code, head.headers["content-type"], head.content) == (200, kind, b"")


def test_cookies_headers_and_redirects_arrive(http: httpx2.Client) -> None:
    answer = http.get("cookie")
    assert (answer.cookies["session"], answer.headers["x-answer"]) == ("fresh", "yes")
    moved = http.get("elsewhere")
    assert (moved.status_code, moved.headers["location"]) == (307, "/tutorial/text")
    teapot, refused = http.get("errors/own"), http.get("me")
    assert (teapot.headers["x-error"], refused.headers["www-authenticate"]) == ("tea", "Bearer")


def test_files_are_uploaded_beside_fields(http: httpx2.Client) -> None:
    files: list[tuple[str, bytes | tuple[str, bytes]]] = [
        ("small", b"12"),
        ("files", ("a.txt", b"123")),
        ("files", ("b.txt", b"x" * 2_000)),
    ]
    answer = http.post("upload", files=files, data={"token": "t"})
    assert answer.json() == {"small": 2, "sizes": {"a.txt": 3, "b.txt": 2_000}, "token": "t"}, answer.text


def test_background_tasks_and_closing_dependencies_run_after_the_answer(http: httpx2.Client, service: Service) -> None:
    answer = http.post("notify")
    assert (answer.status_code, answer.json()) == (202, "soon")
    assert answer.elapsed.total_seconds() < 0.2
    http.get("depends")
    service.logged(path="/tutorial/depends")
    while "notified" not in (done := http.get("done").json()):
        pass
    assert done[0] == "sub opened"
    assert done.count("opened") == done.count("closed") > 0


def test_the_topics_are_described(http: httpx2.Client, service: Service) -> None:
    schema = service.http.get("/openapi.json").json()
    upload = schema["paths"]["/tutorial/upload"]["post"]
    assert list(upload["requestBody"]["content"]) == ["multipart/form-data"]
    assert upload["operationId"] == "tutorial.read_upload"
    schemes = schema["components"]["securitySchemes"]
    assert {"OAuth2PasswordBearer", "HTTPBasic", "APIKeyHeader"} == set(schemes)
    assert http.get("sub/openapi.json").json()["paths"].keys() == {"/hello", "/fail"}
