"""Input of every kind, right and wrong: it is answered as the documentation says, and never with a server error."""

from contextlib import suppress
from itertools import product
from typing import Any

import anyio.from_thread
import anyio.to_thread
import httpx2
import pytest
import schemathesis
from fastapi import APIRouter
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from app.core.component import Component
from app.core.errors import PROBLEM
from tests.conftest import Start

EXAMPLES = 5
"""For each operation, right and wrong: more find more, and cost more."""
router = APIRouter(prefix="/anything")


@router.post("")
async def take(body: dict[str, Any]) -> int:
    """Takes any object."""
    return len(body)


@router.post("/words")
async def take_words(body: dict[str, str]) -> int:
    """Takes an object of texts."""
    return len(body)


@pytest.mark.timeout(300)
async def test_every_operation_keeps_to_its_documentation(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    loaded = schemathesis.openapi.from_dict(document)
    operations = [result.ok() for result in loaded.get_all_operations() if isinstance(result, Ok)]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

    async def send(case: Case[Any]) -> httpx2.Response:
        parts = case.as_transport_kwargs(base_url="http://service")
        raw = isinstance(parts.get("data"), str | bytes)
        body: dict[str, Any] = {
            "content" if name == "data" and raw else name: parts.get(name) for name in ("json", "data", "files")
        }
        return await client.request(
            parts["method"], parts["url"], params=parts.get("params"), headers=dict(parts["headers"]), **body
        )

    def try_out(operation: Any, mode: GenerationMode) -> None:
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def run(case: Case[Any]) -> None:
            answer = anyio.from_thread.run(send, case)
            # A rule has answered, before the values or after them: what is to be replaced has to exist.
            ruled = answer.status_code in {412, 422, 428} and answer.json()["code"] != "validation_failed"
            excluded: list[Any] = [positive_data_acceptance, negative_data_rejection] if ruled else []
            if answer.status_code == 503 and not operation.path.startswith("/api/"):
                # What operators ask tells that something is missing, and keeps to its documentation in that too.
                excluded += [not_a_server_error, positive_data_acceptance]
            case.validate_response(answer, excluded_checks=excluded)

        try:
            with suppress(Unsatisfiable):  # nothing can be wrong where nothing is taken
                run()
        except BaseExceptionGroup as error:  # a group would end the event loop of all tests
            raise AssertionError(str(error)[:3000]) from None

    assert operations
    for operation, mode in product(operations, modes):
        await anyio.to_thread.run_sync(try_out, operation, mode)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b'{"a": "\\ud800"}',
        b'{"\\ud800": "a"}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"a": "\\u0000"}',
        b"",
        b"null",
        b"\x00",
    ],
    ids=lambda body: repr(body[:12]),
)
@pytest.mark.parametrize("path", ["/anything", "/anything/words"])
async def test_a_hostile_body_is_no_server_error(start: Start, body: bytes, path: str) -> None:
    client = await start(extra=[Component(name="anything", routers=[router])])
    answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {200, 400, 422}, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("path", ["/%00", "/%ff", "/..%2f..%2fetc/passwd", "/" + "a" * 5000, "//", "/health/live/"])
async def test_a_hostile_path_is_404(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(f"http://service{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW", "PROPFIND"])
async def test_a_method_of_another_kind_is_405(client: httpx2.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/health/live")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
