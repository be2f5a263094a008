"""The documentation of the API: true to what is answered, and a page that works under its policy."""

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import httpx2
import pytest

from app.core.errors import PROBLEM
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
    for path in ("/docs", "/openapi.json"):
        assert (await client.get(path)).status_code == status


async def test_the_page_runs_under_its_policy(client: httpx2.AsyncClient) -> None:
    page = await client.get("/docs")
    policy = {
        name: set(sources.split())
        for name, _, sources in (
            part.strip().partition(" ") for part in page.headers["content-security-policy"].split(";")
        )
    }
    tags = {"script": "script-src", "link": "style-src", "img": "img-src"}
    found = re.findall(r'<(script|link|img)[^>]*?(?:src|href)="(https://[^/"]+)[^"]*"', page.text)
    assert {tag for tag, _ in found} >= {"script", "link"}
    for tag, origin in found:
        assert origin in policy[tags[tag]], f"{tag} from {origin}"
    for origin in re.findall(r'rel="(?:shortcut )?icon"[^>]*href="(https://[^/"]+)', page.text):
        assert origin in policy["img-src"]
    inline = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert inline
    for script in inline:
        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy["script-src"]
    assert policy["connect-src"] == {"'self'"}
    assert "'unsafe-inline'" not in policy["script-src"]
    assert page.headers["x-frame-options"] == "DENY"
