"""The documentation of the API: true to what is answered, and a page that works under its policy."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter

from app.core.component import Component
from app.core.concurrency import ExpectedVersion
from app.core.errors import PROBLEM, RateLimited
from app.core.schema import headers_of
from app.core.versioning import versioned
from tests.conftest import Start

PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}


@pytest.fixture
async def schema(client: httpx2.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


async def test_every_operation_documents_its_problems(schema: dict[str, Any]) -> None:
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    assert operations
    for operation in operations:
        failures = {
            status: answer
            for status, answer in operation["responses"].items()
            if status == "default" or status >= "400"
        }
        assert "default" in failures
        for answer in failures.values():
            assert answer["description"]
            assert answer["content"][PROBLEM]["schema"] == PROBLEM_SCHEMA
    assert "ValidationError" not in schema["components"]["schemas"]


async def test_the_schema_of_a_problem_is_true(client: httpx2.AsyncClient, schema: dict[str, Any]) -> None:
    problem = schema["components"]["schemas"]["Problem"]
    answer = (await client.get("/nowhere")).json()
    assert set(problem["required"]) == set(answer)
    assert set(problem["properties"]) == set(answer)


@pytest.mark.parametrize(
    ("environment", "docs", "status"),
    [("production", None, 404), ("production", True, 200), ("development", None, 200), ("development", False, 404)],
)
async def test_the_documentation_is_closed_in_production_unless_asked_for(
    start: Start, environment: str, docs: bool | None, status: int
) -> None:
    client = await start(service={"environment": environment}, http={"docs": docs})
    for path in ("/docs", "/redoc", "/docs/swagger-ui.css", "/openapi.json"):
        assert (await client.get(path)).status_code == status


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_page_needs_files_of_this_service_alone(client: httpx2.AsyncClient, path: str) -> None:
    page = await client.get(path)
    policy = {
        name: set(sources.split())
        for name, _, sources in (
            part.strip().partition(" ") for part in page.headers["content-security-policy"].split(";")
        )
    }
    links = re.findall(r'<(?:script|link|redoc)[^>]*?(?:src|href|spec-url)="([^"]+)"', page.text)
    links += re.findall(r"^ +url: '([^']+)'", page.text, re.MULTILINE)
    assert {"openapi.json", "docs/favicon.png"} < set(links)
    assert any(link.endswith(".js") for link in links)
    for link in links:  # relative, so that they are right below any prefix
        assert not link.startswith(("/", "http"))
        assert (await client.get(f"/{link}")).status_code == 200, link
    inline = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert inline or path == "/redoc"
    for script in inline:
        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy["script-src"]
    assert policy["connect-src"] == {"'self'"}
    assert "'self'" in policy["script-src"]
    assert "'unsafe-inline'" not in policy["script-src"]
    assert "https:" not in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"


async def test_operations_have_short_names(start: Start) -> None:
    first, second = versioned("things"), versioned("things", version=2)
    plain = APIRouter()

    async def list_things() -> None: ...

    async def thing() -> None: ...

    for router in (first, second):
        router.add_api_route("", list_things)
    first.add_api_route("/one", thing)
    first.add_api_route("/own", list_things, operation_id="chosen")
    plain.add_api_route("/untagged", thing)
    client = await start(extra=[Component(name="things", routers=[first, second, plain])])
    paths = (await client.get("/openapi.json")).json()["paths"]
    names = {path: operations["get"]["operationId"] for path, operations in paths.items() if "get" in operations}
    assert names["/api/v1/things"] == "things.list"
    assert names["/api/v2/things"] == "things.list_v2"
    assert names["/api/v1/things/one"] == "things.thing"
    assert names["/api/v1/things/own"] == "chosen"
    assert names["/untagged"] == "thing_untagged_get"
    assert names["/health/live"] == "health.live"


async def test_headers_of_requests_and_responses_are_described(start: Start) -> None:
    router = versioned("things")

    @router.put("/{name}", status_code=201, responses=headers_of(201, "ETag", "Location") | RateLimited.schema())
    async def change_thing(name: str, version: ExpectedVersion) -> None: ...

    extra = Component(name="things", routers=[router], response_headers={"X-Shelf": "Where it is."})
    schema = (await (await start(extra=[extra])).get("/openapi.json")).json()
    operation = schema["paths"]["/api/v1/things/{name}"]["put"]
    (match,) = (one for one in operation["parameters"] if one["in"] == "header")
    assert (match["name"], match["required"], match["schema"]["type"]) == ("If-Match", True, "string")
    assert "x-required" not in json.dumps(schema)
    answers = operation["responses"]
    assert {"ETag", "Location", "X-Correlation-ID", "X-Shelf"} == set(answers["201"]["headers"])
    assert "Retry-After" in answers["429"]["headers"]
    assert schema["components"]["headers"]["X-Shelf"]["description"] == "Where it is."
