"""Files that are sent and read back, in a directory and in a bucket alike."""

import hashlib
import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.core.telemetry import BusinessEvent, SecurityEvent
from app.extensions.uploads.checks import KINDS, attachment, checked_name
from tests import answers
from tests.extensions.uploads.conftest import PATH, Open
from tests.extensions.uploads.s3 import Server
from tests.extensions.uploads.samples import BAD, FORM, GOOD, PDF, PNG, dribble, form

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]  # the server takes its time to start


@pytest.fixture(params=["directory", "bucket"])
async def client(request: pytest.FixtureRequest, open_service: Open) -> httpx2.AsyncClient:
    """A client of a service that takes every kind, with each storage in turn."""
    settings: dict[str, Any] = {"types": ",".join(KINDS)}
    if request.param == "bucket":
        settings |= request.getfixturevalue("s3").settings
    return await open_service(**settings)


async def test_every_kind_is_stored_and_given_back_as_it_was(client: httpx2.AsyncClient) -> None:
    assert {name.lower().partition(".")[2] for name in GOOD} == set(KINDS)
    for name, content in GOOD.items():
        answer = await client.post(PATH, files={"files": (name, content, "text/html")})
        assert answer.status_code == 201, (name, answer.text)
        (file,) = answers.content(answer)["files"]
        assert (file["name"], file["size"]) == (name, len(content))
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        back = await client.get(f"{PATH}/{file['id']}")
        assert back.content == content
        assert back.headers["content-length"] == str(len(content))
        assert back.headers["etag"] == f'"{file["sha256"]}"'
        assert back.headers["content-type"] == KINDS[name.lower().partition(".")[2]].media_type == file["media_type"]


async def test_a_file_is_saved_by_browsers_and_not_shown(client: httpx2.AsyncClient) -> None:
    answer = await client.post(PATH, content=form([("Übersicht 10\u202fh.pdf", PDF)]), headers=FORM)
    (file,) = answers.content(answer)["files"]
    assert file["name"] == "Übersicht 10 h.pdf"
    back = await client.get(f"{PATH}/{file['id']}")
    assert back.headers["content-disposition"] == (
        "attachment; filename=\"Ubersicht 10 h.pdf\"; filename*=UTF-8''%C3%9Cbersicht%2010%20h.pdf"
    )
    assert back.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in back.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a\uff02; filename=evil.exe; x=\uff02.txt", "a__ filename_evil.exe_ x__.txt"),
        ("\uff0e\uff0e\uff0fx.txt", "_x.txt"),
        ("\uff0e\uff0e\uff3cx.txt", "_x.txt"),
        ("\u2025\u2215x\uff0etxt", "x.txt"),
        ("a\uff1ab\uff1fc.txt", "a_b_c.txt"),
        ("日本.txt", "txt"),
        ("日本", "file"),
        ("Report (1), v2.txt", "Report (1), v2.txt"),
    ],
)
def test_the_plain_name_of_a_file_is_harmless(name: str, plain: str) -> None:
    header = attachment(checked_name(name.encode()))
    assert header.partition("; filename*=")[0] == f'attachment; filename="{plain}"'


async def test_each_file_of_a_batch_has_its_result(
    client: httpx2.AsyncClient, told: list[BusinessEvent | SecurityEvent]
) -> None:
    files = [("one.pdf", PDF), ("page.html", BAD["page.html"]), ("", PDF), ("two.png", PNG), ("empty.png", b"")]
    answer = await client.post(PATH, content=form(files), headers=FORM)
    assert answer.status_code == 207
    batch = answers.content(answer)
    assert batch["complete"] is True
    assert [(file["position"], file["name"], file["code"], bool(file["id"])) for file in batch["files"]] == [
        (0, "one.pdf", None, True),
        (1, "page.html", "file_type_refused", False),
        (2, None, "file_name_refused", False),
        (3, "two.png", None, True),
        (4, "empty.png", "file_empty", False),
    ]
    assert [(event.name, event.subject) for event in told] == [
        ("upload_refused", "page.html"),
        ("upload_refused", ""),
        ("upload_refused", "empty.png"),
        ("file_uploaded", batch["files"][0]["id"]),
        ("file_uploaded", batch["files"][3]["id"]),
    ]
    stored = told[3]
    assert isinstance(stored, BusinessEvent)
    assert stored.after is not None
    assert (stored.after["batch"], stored.after["by"], stored.after["name"]) == (batch["id"], "user:ada", "one.pdf")


async def test_a_batch_of_which_nothing_is_stored_is_an_error(client: httpx2.AsyncClient) -> None:
    answer = await client.post(PATH, content=form([("a.html", b"<html>"), ("b.png", b"")]), headers=FORM)
    assert answer.status_code == 422
    assert answer.json()["code"] == "files_refused"
    assert [error["code"] for error in answer.json()["errors"]] == ["file_type_refused", "file_empty"]
    assert "a.html" not in answer.text


async def test_a_file_in_small_pieces_and_without_a_length(client: httpx2.AsyncClient) -> None:
    content = GOOD["a.txt"] * 4
    answer = await client.post(PATH, content=dribble(form([("a.txt", content), ("b.pdf", PDF)]), 777), headers=FORM)
    assert answer.status_code == 201
    assert (await client.get(f"{PATH}/{answers.content(answer)['files'][0]['id']}")).content == content


async def test_who_may_send_files_is_said_by_the_slice(client: httpx2.AsyncClient) -> None:
    del client.headers["Authorization"]
    answer = await client.post(PATH, files={"files": ("a.png", PNG)})
    assert answer.status_code == 401


@pytest.mark.parametrize("upload_id", ["0" * 32, "..%2F..%2Fetc%2Fpasswd", "x"])
async def test_what_is_not_there_is_not_found(client: httpx2.AsyncClient, upload_id: str) -> None:
    answer = await client.get(f"{PATH}/{upload_id}")
    assert answer.status_code in {404, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_operators_see_the_storage(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health")).json()["parts"]["uploads"]["status"] == "ok"


async def test_a_bucket_has_one_object_for_a_file_and_this_machine_none(
    open_service: Open, s3: Server, directory: Path
) -> None:
    client = await open_service(**s3.settings)
    before = set(s3.names())
    answer = await client.post(PATH, files={"files": ("a.png", PNG)})
    assert set(s3.names()) - before == {f"uploads/{answers.content(answer)['files'][0]['id']}"}
    assert s3.unfinished() == []
    assert directory.name not in os.listdir(directory.parent)  # noqa: PTH208  # a Path would block
