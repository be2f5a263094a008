"""Hostile files, names and forms: refused while they come in, and nothing is left of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app.extensions.uploads.checks import KINDS
from tests import answers
from tests.extensions.uploads.conftest import PATH, Open
from tests.extensions.uploads.samples import BAD, BOUNDARY, FORM, PDF, PNG, dribble, form

pytestmark = pytest.mark.anyio
MEGABYTE = 1_048_576


def stored(directory: Path) -> list[str]:
    """Return the names of what is in the directory."""
    return sorted(path.name for path in directory.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("size", [1, 100_000])
async def test_content_that_is_not_what_the_name_says_is_refused(
    open_service: Open, directory: Path, name: str, size: int
) -> None:
    client = await open_service(types=",".join(KINDS))
    answer = await client.post(PATH, content=dribble(form([(name, BAD[name])]), size), headers=FORM)
    assert answer.status_code == 415
    assert answer.json()["code"] == "file_type_refused"
    assert answer.json()["errors"][0]["field"] == "files.0"
    assert stored(directory) == []


async def test_a_type_that_is_not_on_the_list_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post(PATH, files={"files": ("a.json", b"{}")})
    assert answer.status_code == 415
    assert "pdf, png, jpg, jpeg, gif, webp, txt, csv" in answer.json()["detail"]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd.png",
        "..\\boot.png",
        "/etc/cron.d/a.png",
        "a\x00.png",
        "line\nend.png",
        "x" * 200 + ".png",
        ".htaccess.png",
        "..png",
        "stream:alternate.png",
        "\u202egnp.exe.png",
        b"\xff\xfe.png",
        "a.png.",
        " ",
    ],
)
async def test_a_name_with_a_path_or_with_what_nobody_sees_is_refused(
    client: httpx2.AsyncClient, directory: Path, name: str | bytes
) -> None:
    answer = await client.post(PATH, content=form([(name, PNG)]), headers=FORM)
    assert answer.status_code in {400, 422}  # a line end breaks the header already
    assert answer.json()["code"] in {"file_name_refused", "form_unreadable"}
    assert stored(directory) == []


@pytest.mark.parametrize("name", ["a\x00.png", "../a.png", "..\\a.png", "x" * 200 + ".png", b"\xff\xfe.png", " "])
async def test_it_is_the_name_that_is_refused(client: httpx2.AsyncClient, name: str | bytes) -> None:
    answer = await client.post(PATH, content=form([(name, PNG)]), headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (422, "file_name_refused")


async def test_an_empty_file_is_refused(client: httpx2.AsyncClient, directory: Path) -> None:
    answer = await client.post(PATH, files={"files": ("a.png", b"")})
    assert (answer.status_code, answer.json()["code"]) == (422, "file_empty")
    assert stored(directory) == []


@pytest.mark.parametrize("name", ["a.txt", "a.exe", "../a.txt"])
async def test_a_stream_that_never_ends_is_refused_while_it_comes(
    client: httpx2.AsyncClient, directory: Path, name: str
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield form([(name, b"x")])[: -len(f"\r\n--{BOUNDARY}--\r\n")]
        while True:
            sent += MEGABYTE
            assert sent <= 12 * MEGABYTE, "the service reads on"
            yield b"x" * MEGABYTE

    answer = await client.post(PATH, content=endless(), headers=FORM)
    assert answer.status_code in {413, 415, 422}
    assert answer.headers["connection"] == "close"
    assert stored(directory) == []


async def test_a_file_may_be_as_large_as_the_limit_and_no_larger(open_service: Open) -> None:
    client = await open_service(file_limit=1000)
    for size, status in ((1000, 201), (1001, 413)):
        answer = await client.post(PATH, files={"files": ("a.txt", b"x" * size)})
        assert answer.status_code == status
    assert answer.json()["code"] == "file_too_large"


async def test_what_stands_before_a_file_that_is_too_large_is_kept_and_told(open_service: Open) -> None:
    client = await open_service(file_limit=1000)
    files = [("a.txt", b"x"), ("b.txt", b"x" * 5000), ("c.txt", b"x")]
    answer = await client.post(PATH, content=form(files), headers=FORM)
    assert answer.status_code == 207
    assert answer.headers["connection"] == "close"
    batch = answers.content(answer)
    assert batch["complete"] is False
    assert [file["code"] for file in batch["files"]] == [None, "file_too_large"]
    assert (await client.get(f"{PATH}/{batch['files'][0]['id']}")).content == b"x"


async def test_more_than_may_come_at_once_is_refused_whole(open_service: Open, directory: Path) -> None:
    client = await open_service(files=3, file_limit=1000)
    many = await client.post(PATH, content=form([("a.txt", b"x")] * 4), headers=FORM)
    assert (many.status_code, many.json()["code"]) == (413, "files_too_many")
    assert many.headers["connection"] == "close"
    large = await client.post(PATH, content=form([("a.txt", b"x")] * 2 + [("b.exe", b"x" * 80_000)]), headers=FORM)
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    assert stored(directory) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "form_unreadable"),
        (b"nonsense", "form_unreadable"),
        (form([])[:-4], "form_unreadable"),
        (form([("a.pdf", PDF)])[:-10], "form_unreadable"),
        (form([("a.pdf", PDF)])[:120], "form_unreadable"),
        (f"--{BOUNDARY}\r\nX: {'y' * 10_000}\r\n\r\n\r\n--{BOUNDARY}--\r\n".encode(), "form_unreadable"),
        (f"--{BOUNDARY}\r\n".encode() + b"X: y\r\n" * 50 + f"\r\n\r\n--{BOUNDARY}--\r\n".encode(), "form_unreadable"),
        (
            f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--{BOUNDARY}--\r\n".encode(),
            "files_missing",
        ),
    ],
)
async def test_a_form_that_cannot_be_read_leaves_nothing(
    client: httpx2.AsyncClient, directory: Path, body: bytes, code: str
) -> None:
    answer = await client.post(PATH, content=body, headers=FORM)
    assert answer.status_code in {400, 422}
    assert answer.json()["code"] == code
    assert ("connection" in answer.headers) is (code == "form_unreadable")  # what is left of the body is not read
    assert stored(directory) == []


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "multipart/mixed; boundary=x", ""])
async def test_what_is_no_form_is_refused(client: httpx2.AsyncClient, kind: str) -> None:
    answer = await client.post(PATH, content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "form_expected")


async def test_a_boundary_of_any_length_is_no_work(client: httpx2.AsyncClient) -> None:
    answer = await client.post(
        PATH, content=b"{}", headers={"Content-Type": f"multipart/form-data; boundary={'x' * 5000}"}
    )
    assert answer.json()["code"] == "form_unreadable"
