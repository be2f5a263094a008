"""Routes of a feature's own that take files: a refusal is an error, and the documentation shows the form."""

from pathlib import Path

import httpx2
import pytest
from fastapi import Request

from app.core.component import Component
from app.core.versioning import versioned
from app.extensions.uploads import UPLOAD_FORM, UPLOAD_RESPONSES, FileResult, UploadsDep, routes
from tests.answers import content
from tests.conftest import Start
from tests.extensions.uploads.samples import PDF, PNG

pytestmark = pytest.mark.anyio
PATH = "/api/v1/reports"
router = versioned("reports")


@router.post("", status_code=201, openapi_extra=UPLOAD_FORM, responses=UPLOAD_RESPONSES)
async def send(request: Request, uploads: UploadsDep) -> list[FileResult]:
    """Take PDF files only, all or none, as the guide has it."""
    batch = await uploads.receive(request, "reports", types=["pdf"], whole=True)
    return batch.files


@pytest.fixture
async def client(start: Start, directory: Path) -> httpx2.AsyncClient:
    """A client of the route."""
    parts = [Component(name="reports", routers=[router, routes("pictures", types=["png"])])]
    return await start(extra=parts, uploads={"directory": str(directory)})


def kept(directory: Path) -> list[Path]:
    """The files in the storage."""
    return [path for path in directory.rglob("*") if path.is_file() and not path.name.startswith(".")]


async def test_files_that_are_accepted_are_stored(client: httpx2.AsyncClient, directory: Path) -> None:
    answer = await client.post(PATH, files=[("files", ("a.pdf", PDF)), ("files", ("b.pdf", PDF))])
    assert answer.status_code == 201
    assert [file["name"] for file in content(answer)] == ["a.pdf", "b.pdf"]
    assert kept(directory)


@pytest.mark.parametrize(
    ("files", "status", "code", "fields"),
    [
        ([("a.txt", b"text")], 415, "file_type_refused", ["files.0"]),
        ([("a.pdf", PNG)], 415, "file_type_refused", ["files.0"]),
        ([("a.pdf", b"")], 422, "file_empty", ["files.0"]),
        ([("../a.pdf", PDF)], 422, "file_name_refused", ["files.0"]),
        ([("a.pdf", PDF), ("b.png", PNG)], 415, "file_type_refused", ["files.1"]),
        ([("a.pdf", PDF), ("b.png", PNG), ("c.pdf", b"")], 422, "files_refused", ["files.1", "files.2"]),
    ],
)
async def test_a_refused_file_is_an_error_and_nothing_is_stored(
    client: httpx2.AsyncClient,
    directory: Path,
    files: list[tuple[str, bytes]],
    status: int,
    code: str,
    fields: list[str],
) -> None:
    answer = await client.post(PATH, files=[("files", file) for file in files])
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert [error["field"] for error in answer.json()["errors"]] == fields
    assert not kept(directory)


async def test_a_form_without_files_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post(PATH, files={"note": (None, "text")})
    assert (answer.status_code, answer.json()["code"]) == (422, "files_missing")


async def test_a_file_larger_than_other_bodies_is_taken(client: httpx2.AsyncClient) -> None:
    large = PDF + bytes(3_000_000)
    assert (await client.post(PATH, files={"files": ("a.pdf", large)})).status_code == 201


async def test_the_types_of_a_collection_are_its_own(client: httpx2.AsyncClient) -> None:
    for name, data, status in (("a.png", PNG, 201), ("a.pdf", PDF, 415)):
        answer = await client.post("/api/v1/pictures", files={"files": (name, data)})
        assert answer.status_code == status
    assert "send png" in answer.json()["detail"]


def test_a_type_that_is_not_known_is_refused_when_the_routes_are_made() -> None:
    with pytest.raises(ValueError, match="exe is unknown: choose from pdf, png"):
        routes("programs", types=["exe"])


async def test_the_documentation_shows_the_form_and_the_errors(client: httpx2.AsyncClient) -> None:
    operation = (await client.get("/openapi.json")).json()["paths"][PATH]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["files"]["items"] == {"type": "string", "format": "binary"}
    assert {"400", "413", "415", "422", "503", "507"} <= set(operation["responses"])
