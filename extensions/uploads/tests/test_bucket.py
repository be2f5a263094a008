"""The bucket: its store is gone, frozen, back again, or does not know it."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import pytest
from pydantic import ValidationError

from app.extensions.uploads import UploadsSettings
from app.extensions.uploads.bucket import Bucket
from tests import answers
from tests.extensions.uploads.conftest import PATH, Open
from tests.extensions.uploads.s3 import Server
from tests.extensions.uploads.samples import FORM, PDF, PNG, form

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]  # a server of its own takes its time to start


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own."""
    server = Server(tmp_path)
    yield server
    server.kill()


async def test_a_store_that_is_gone_is_503_and_used_again_when_it_is_back(open_service: Open, own: Server) -> None:
    client = await open_service(**own.settings)
    upload_id = answers.content(await client.post(PATH, files={"files": ("a.pdf", PDF)}))["files"][0]["id"]
    own.kill()
    for answer in (
        await client.post(PATH, files={"files": ("a.png", PNG)}),
        await client.get(f"{PATH}/{upload_id}"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")
        assert answer.headers["retry-after"] == "1"
        assert "127.0.0.1" not in answer.text
    assert (await client.get("/health/ready")).status_code == 200
    assert (await client.get("/health")).json()["parts"]["uploads"]["status"] == "failed"
    own.start()
    assert (await client.post(PATH, files={"files": ("a.png", PNG)})).status_code == 201


async def test_a_store_that_does_not_answer_is_503_in_time_and_nothing_is_stored(
    open_service: Open, own: Server
) -> None:
    client = await open_service(**{**own.settings, "timeout": "1"})
    own.freeze()
    with anyio.fail_after(30):
        answer = await client.post(PATH, files={"files": ("a.png", PNG)})
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")
        assert (await client.get("/health/ready")).status_code == 200
    own.thaw()
    with anyio.fail_after(30):
        while (await client.post(PATH, files={"files": ("a.png", PNG)})).status_code != 201:  # noqa: ASYNC110
            await anyio.sleep(0.2)


async def test_a_bucket_that_does_not_exist_is_503(open_service: Open, s3: Server) -> None:
    client = await open_service(**{**s3.settings, "bucket": "nowhere"})
    answer = await client.post(PATH, files={"files": ("a.png", PNG)})
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")


async def test_a_batch_that_fails_leaves_nothing_in_the_bucket(open_service: Open, s3: Server) -> None:
    client = await open_service(**s3.settings)
    before = set(s3.names())
    body = form([("a.png", PNG), ("b.pdf", PDF)])[:-10]
    assert (await client.post(PATH, content=body, headers=FORM)).status_code == 400
    assert set(s3.names()) == before


async def test_a_file_can_be_removed(open_service: Open, s3: Server) -> None:
    client: httpx2.AsyncClient = await open_service(**s3.settings)
    upload_id = answers.content(await client.post(PATH, files={"files": ("a.pdf", PDF)}))["files"][0]["id"]
    bucket = Bucket(UploadsSettings.model_validate(s3.settings))
    for _ in range(2):
        await bucket.delete("documents", upload_id)
        assert (await client.get(f"{PATH}/{upload_id}")).status_code == 404


def test_half_a_key_stops_the_start() -> None:
    with pytest.raises(ValidationError, match="go together"):
        UploadsSettings(access_key="an-id-of-a-key")


def test_a_type_without_a_signature_stops_the_start() -> None:
    with pytest.raises(ValidationError, match="exe is unknown: choose from pdf, png"):
        UploadsSettings(types=("png", "exe"))
