"""A smoke test: the service starts and answers, and its migrations run. Features have tests of their own."""

import httpx2
from fastapi import APIRouter
from fastapi.openapi.models import OpenAPI

from app.core.component import Component
from app.core.errors import PROBLEM
from tests.conftest import NewDatabase, Start, alembic


async def test_the_service_starts_and_is_healthy(client: httpx2.AsyncClient) -> None:
    for path in ("/health/live", "/health/ready", "/health"):
        assert (await client.get(path)).status_code == 200, path


async def test_an_error_is_a_problem_document(start: Start) -> None:
    router = APIRouter()

    @router.get("/double")
    async def double(number: int) -> int:
        return 2 * number

    client = await start(extra=[Component(name="smoke", routers=[router])])
    for path, status, code in (("/nowhere", 404, "not_found"), ("/double?number=x", 422, "validation_failed")):
        answer = await client.get(path)
        problem = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
        assert (problem["status"], problem["code"]) == (status, code)
        assert problem["correlation_id"] == answer.headers["x-correlation-id"]


async def test_the_openapi_document_is_valid(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    OpenAPI.model_validate(document)
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))


def test_the_migrations_run_down_and_up_again(new_database: NewDatabase) -> None:
    with new_database() as url:
        for arguments in (["downgrade", "base"], ["upgrade", "head"]):
            done = alembic(url, *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
