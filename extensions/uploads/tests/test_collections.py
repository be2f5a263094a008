"""Collections: files belong to the slice that took them, in a directory and in a bucket alike."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Request

from app.core.component import Component
from app.core.errors import BusinessRuleViolated
from app.core.versioning import versioned
from app.extensions.uploads import Batch, Uploads, UploadsDep, UploadsSettings, routes
from app.extensions.uploads.bucket import Bucket
from app.extensions.uploads.checks import UploadNotFound
from app.extensions.uploads.storage import Directory
from tests import answers
from tests.conftest import Start
from tests.extensions.uploads.conftest import DOCUMENTS, PATH
from tests.extensions.uploads.samples import PDF, PNG

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]  # the server of the bucket takes its time to start
AVATARS = Component(name="avatars", routers=[routes("avatars")])
router = versioned("letters")
LETTERS = Component(name="letters", routers=[router])


def check(stamps: int) -> None:
    """Check a rule of the slice once the files are stored."""
    if not stamps:
        raise BusinessRuleViolated("a letter needs a stamp")


@router.post("")
async def send(request: Request, uploads: UploadsDep, stamps: int = 0) -> Batch:
    """A route that may fail when the files are stored, as the guide has it."""
    batch = await uploads.receive(request, "letters")
    try:
        check(stamps)
    except BaseException:
        for upload_id in batch.stored:
            await uploads.delete("letters", upload_id)
        raise
    return batch


@pytest.fixture(params=["directory", "bucket"])
def settings(request: pytest.FixtureRequest, directory: Path) -> dict[str, str]:
    """The settings of each storage in turn."""
    bucket: dict[str, str] = request.getfixturevalue("s3").settings if request.param == "bucket" else {}
    return {"directory": str(directory), **bucket}


@pytest.fixture
async def client(start: Start, settings: dict[str, str]) -> httpx2.AsyncClient:
    """A client of a service whose three slices share one storage."""
    client = await start(extra=[DOCUMENTS, AVATARS, LETTERS], uploads=settings)
    client.headers["Authorization"] = "ada"
    return client


@pytest.fixture
def uploads(settings: dict[str, str]) -> Uploads:
    """The same storage, as a slice of one's own has it."""
    mine = UploadsSettings.model_validate(settings)
    return Uploads(mine, Bucket(mine) if mine.bucket else Directory(mine.directory))


async def stored(client: httpx2.AsyncClient, path: str = PATH, **more: Any) -> str:
    """The id of a file that has been sent."""
    answer = await client.post(path, files={"files": ("a.pdf", PDF)}, **more)
    upload_id: str = answers.content(answer)["files"][0]["id"]
    return upload_id


async def test_a_slice_gives_no_file_of_another_one_back(client: httpx2.AsyncClient) -> None:
    upload_id = await stored(client)
    answer = await client.get(f"/api/v1/avatars/{upload_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "upload_not_found")
    assert (await client.get(f"{PATH}/{upload_id}")).content == PDF


async def test_a_file_is_found_and_removed_by_its_collection_only(client: httpx2.AsyncClient, uploads: Uploads) -> None:
    upload_id = await stored(client)
    with pytest.raises(UploadNotFound):
        await uploads.find("avatars", upload_id)
    with pytest.raises(UploadNotFound):
        await uploads.delete("avatars", upload_id)
    record, content = await uploads.find("documents", upload_id)
    assert (record.collection, b"".join([data async for data in content])) == ("documents", PDF)
    for _ in range(2):
        await uploads.delete("documents", upload_id)
        assert (await client.get(f"{PATH}/{upload_id}")).status_code == 404


@pytest.mark.parametrize("name", ["", ".", "..", "{}/", "./{}", "../uploads/{}", "{}\n", "{}.part", "{}0"])
async def test_what_is_no_id_never_becomes_a_path(client: httpx2.AsyncClient, uploads: Uploads, name: str) -> None:
    upload_id = await stored(client)
    for other in (name.format(upload_id), upload_id.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))):
        with pytest.raises(UploadNotFound):
            await uploads.find("documents", other)
        with pytest.raises(UploadNotFound):
            await uploads.delete("documents", other)
    assert (await client.get(f"{PATH}/{upload_id}")).content == PDF


async def test_a_route_of_ones_own_that_fails_removes_what_was_stored(
    client: httpx2.AsyncClient, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    delete = Uploads.delete

    async def watched(self: Uploads, collection: str, upload_id: str) -> None:
        await uploads.find(collection, upload_id)  # it was there
        await delete(self, collection, upload_id)
        removed.append(upload_id)

    monkeypatch.setattr(Uploads, "delete", watched)
    files = [("files", ("a.pdf", PDF)), ("files", ("b.png", PNG))]
    assert (await client.post("/api/v1/letters", files=files)).status_code == 422
    assert len(removed) == 2
    for upload_id in removed:
        with pytest.raises(UploadNotFound):
            await uploads.find("letters", upload_id)
    kept = await stored(client, "/api/v1/letters", params={"stamps": 1})
    assert (await uploads.find("letters", kept))[0].name == "a.pdf"
