"""Every error in the one format, and nothing in it that is not the caller's business."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import httpx2
import pytest
from fastapi import APIRouter, Body, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field

from app.core import errors
from app.core.component import Component
from app.core.errors import PROBLEM
from app.core.http.response_format import Failure
from tests.conftest import Start
from tests.core.conftest import Lines

router = APIRouter(prefix="/problems")
MEMBERS = {"type", "title", "status", "detail", "instance", "code", "errors", "correlation_id", "timestamp"}
MEMBERS |= set(Failure.model_fields)


class Cat(BaseModel):
    """One kind."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """Another kind."""

    kind: Literal["dog"]


class Input(BaseModel):
    """Values of many kinds."""

    model_config = ConfigDict(extra="forbid")

    number: int = 0
    word: str = Field("", max_length=3)
    moment: datetime | None = None
    colour: Literal["red", "green"] = "red"
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    numbers: list[int] = []


@router.post("/input")
async def read_input(values: Annotated[Input, Body()], x_number: Annotated[int, Header()] = 0) -> int:
    """Reads them."""
    return values.number + x_number


@router.get("/raise/{name}")
async def raise_by_name(name: str) -> None:
    """Raises what the errors module calls so."""
    raise getattr(errors, name)


@router.get("/away")
async def away() -> None:
    """Something is not there, and says so in two lines."""
    raise errors.ServiceUnavailable from ConnectionRefusedError("no one listens\nfor a long story")


@router.get("/http/{status}")
async def raise_http(status: int, detail: str | None = None) -> None:
    """Raises as FastAPI's own code does."""
    raise HTTPException(status, detail, headers={"X-Why": "test"})


@router.get("/structured/{status}")
async def raise_structured(status: int) -> None:
    """Raises with a structure, as FastAPI allows."""
    raise HTTPException(status, {"reason": "x", "tried": [1, 2]}, headers={"X-Why": "test"})  # allowed all the same


@router.get("/status/{status}")
async def answer_with(status: int) -> Response:
    """Answers with any status."""
    return Response(status_code=status)


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    return await start(extra=[Component(name="problems", routers=[router])], log={"format": "json"})


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The document, checked for what all of them have in common."""
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code), document
    assert answer.headers["content-type"] == PROBLEM
    assert document.keys() - {"details"} == MEMBERS
    assert document["type"] == f"urn:problem-type:{code.replace('_', '-')}"
    assert document["instance"] == answer.request.url.raw_path.decode().partition("?")[0]
    assert document["correlation_id"] == answer.headers["x-correlation-id"]
    assert datetime.now(UTC) - datetime.fromisoformat(document["timestamp"]) < timedelta(minutes=1)
    return document


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, errors.ServiceError)
    ],
)
async def test_a_raised_error_is_a_problem(client: httpx2.AsyncClient, name: str) -> None:
    error: type[errors.ServiceError] = getattr(errors, name)
    document = problem(await client.get(f"/problems/raise/{name}"), error.status, error.code)
    assert document["title"] == error.title


async def test_an_unknown_path_is_a_problem(client: httpx2.AsyncClient) -> None:
    problem(await client.get("/no/such/path"), 404, "not_found")


async def test_a_path_of_any_characters_is_quoted_in_the_problem(client: httpx2.AsyncClient) -> None:
    problem(await client.get("/no/%22%3Cscript%3E/%C3%A4/%00"), 404, "not_found")


async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/problems/input")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_refused_values_are_named_field_by_field(client: httpx2.AsyncClient) -> None:
    body = {"number": "x", "numbers": [1, "y"], "surplus": 1}
    document = problem(await client.post("/problems/input", json=body), 422, "validation_failed")
    assert [(error["field"], error["code"]) for error in document["errors"]] == [
        ("body.number", "int_parsing"),
        ("body.numbers.1", "int_parsing"),
        ("body.surplus", "extra_forbidden"),
    ]
    assert all(error["message"] for error in document["errors"])


@pytest.mark.parametrize(
    "body",
    [
        {"number": "s3cret"},
        {"word": "s3cret"},
        {"moment": "s3cret"},
        {"colour": "s3cret"},
        {"pet": {"kind": "s3cret"}},
        {"pet": "s3cret"},
        {"numbers": ["s3cret"]},
        ["s3cret"],
        "s3cret",
    ],
)
async def test_no_answer_echoes_a_value(client: httpx2.AsyncClient, body: Any) -> None:
    answer = await client.post("/problems/input", json=body, headers={"X-Number": "s3cret"})
    problem(answer, 422, "validation_failed")
    assert "s3cret" not in answer.text


async def test_a_body_that_is_no_json_is_400_and_not_echoed(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/problems/input", content=b'{"s3cret', headers={"content-type": "application/json"})
    problem(answer, 400, "bad_request")
    assert "s3cret" not in answer.text


async def test_a_body_of_another_kind_is_415(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/problems/input", content=b"<xml/>", headers={"content-type": "text/xml"})
    problem(answer, 415, "unsupported_media_type")


async def test_a_thousand_mistakes_are_answered_with_fifty(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/problems/input", json={"numbers": ["x"] * 1000})
    assert len(problem(answer, 422, "validation_failed")["errors"]) == 50


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "bad_request"), (409, "conflict"), (422, "validation_failed"), (429, "rate_limited"), (499, "error")],
)
async def test_an_error_of_fastapi_itself_is_a_problem(client: httpx2.AsyncClient, status: int, code: str) -> None:
    answer = await client.get(f"/problems/http/{status}", params={"detail": "because"})
    assert problem(answer, status, code)["detail"] == "because"
    assert answer.headers["x-why"] == "test"


async def test_an_unexpected_error_is_a_500_that_says_nothing_internal(
    log_lines: Lines, client: httpx2.AsyncClient
) -> None:
    answer = await client.get("/problems/raise/no_such_error")
    document = problem(answer, 500, "internal_error")
    assert "no_such_error" not in answer.text.replace(document["instance"], "")
    line = next(line for line in log_lines() if line["event"] == "unexpected error")
    assert line["correlation_id"] == document["correlation_id"]
    assert "AttributeError" in line["exception"]
    assert "no_such_error" in line["exception"]


async def test_what_is_away_is_one_line_each_time(client: httpx2.AsyncClient, log_lines: Lines) -> None:
    problem(await client.get("/problems/away"), 503, "service_unavailable")
    (line,) = [line for line in log_lines() if line["level"] == "warning"]
    assert line["event"].endswith(" (no one listens)")
    assert "exception" not in line


@pytest.mark.parametrize(("status", "code"), [(400, "bad_request"), (418, "i_m_a_teapot")])
async def test_a_structured_detail_is_in_the_details(client: httpx2.AsyncClient, status: int, code: str) -> None:
    answer = await client.get(f"/problems/structured/{status}")
    document = problem(answer, status, code)
    assert document["details"] == {"reason": "x", "tried": [1, 2]}
    assert "{" not in document["detail"]
    assert document["detail"]
    assert answer.headers["x-why"] == "test"


@pytest.mark.parametrize("path", ["http/103", "http/100", "http/199", "http/700", "status/102", "status/600"])
async def test_a_status_that_ends_no_exchange_is_a_fault_of_the_service(
    client: httpx2.AsyncClient, path: str, log_lines: Lines
) -> None:
    problem(await client.get(f"/problems/{path}"), 500, "internal_error")
    (line,) = [line for line in log_lines() if line["event"] == "unexpected error"]
    assert "take one from 200 to 599" in line["exception"]
