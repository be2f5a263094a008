"""The directory: nothing half-written stays, whatever happens."""

import errno
import fcntl
import logging
import os
from pathlib import Path

import anyio
import httpx2
import pytest
from starlette.types import Message

from app.core.errors import ConfigurationInvalid
from app.extensions.uploads.storage import DATA, Directory, Draft
from tests import answers
from tests.conftest import Serve, Start
from tests.core.exchanges import exchange
from tests.extensions.uploads.conftest import DOCUMENTS, PATH, Open
from tests.extensions.uploads.samples import FORM, PDF, PNG, form
from tests.extensions.uploads.test_hostile import stored

pytestmark = pytest.mark.anyio


async def test_a_client_that_goes_away_leaves_nothing(serve: Serve, directory: Path) -> None:
    app = await serve(extra=[DOCUMENTS], uploads={"directory": str(directory)})
    body = form([("a.png", PNG), ("b.txt", b"x" * 1_000_000)])
    parts: list[Message] = [
        {"type": "http.request", "body": body[:500_000], "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        if len(parts) == 1:
            assert len(stored(directory)) == 2  # one file is stored by now, and one is being written
        return parts.pop(0)

    headers = [(b"content-type", FORM["Content-Type"].encode()), (b"authorization", b"ada")]
    answer = await exchange(app, PATH, method="POST", headers=headers, receive=receive)
    assert answer.status == 400
    assert stored(directory) == []


async def test_a_client_that_stands_still_leaves_nothing(serve: Serve, directory: Path) -> None:
    app = await serve(extra=[DOCUMENTS], uploads={"directory": str(directory)}, http={"request_timeout": 0.5})
    parts = [form([("a.png", PNG), ("b.txt", b"x" * 1_000_000)])[:500_000]]

    async def receive() -> Message:
        if not parts:
            await anyio.sleep_forever()
        return {"type": "http.request", "body": parts.pop(), "more_body": True}

    headers = [(b"content-type", FORM["Content-Type"].encode()), (b"authorization", b"ada")]
    with anyio.fail_after(20):
        answer = await exchange(app, PATH, method="POST", headers=headers, receive=receive)
    assert answer.status == 503
    assert stored(directory) == []


@pytest.mark.parametrize(
    ("number", "status", "code"), [(errno.ENOSPC, 507, "storage_full"), (errno.EIO, 503, "storage_failed")]
)
async def test_a_disk_that_is_full_or_broken_is_one_problem_and_one_line(
    client: httpx2.AsyncClient,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    status: int,
    code: str,
) -> None:
    files = form([("a.txt", b"small"), ("b.txt", b"x" * 600_000)])

    def fail(draft: Draft, block: bytearray) -> None:
        if len(block) > 100_000:
            raise OSError(number, os.strerror(number))
        write(draft, block)

    write = Draft._write
    with monkeypatch.context() as patch:
        patch.setattr(Draft, "_write", fail)
        answer = await client.post(PATH, content=files, headers=FORM)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["connection"] == "close"
        assert stored(directory) == []
        assert [record.levelno for record in caplog.records if code in record.message] == [logging.WARNING]
        assert (await client.post(PATH, files={"files": ("a.png", PNG)})).status_code == 201
    assert (await client.post(PATH, content=files, headers=FORM)).status_code == 201


def leave(directory: Path) -> None:
    """Leave the files of a process that was killed while it wrote, or just before."""
    directory.mkdir()
    for name in ("left.part", "empty.part"):
        (directory / name).mkdir()
    (directory / "left.part" / DATA).write_bytes(b"half")


async def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(
    open_service: Open, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leave(directory)
    storage = Directory(directory)
    living = await storage.draft("living")
    await open_service()
    assert stored(directory) == ["living.part"]
    assert "removed an upload that was never finished: left" in caplog.text
    storage.discard(living)


async def test_two_processes_may_begin_at_once(directory: Path) -> None:
    storage = Directory(directory)
    storage.prepare()
    with (directory / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # another process begins a file
        draft = await storage.draft("1" * 32)
        storage.discard(draft)
    assert stored(directory) == []


async def test_a_file_can_be_removed(client: httpx2.AsyncClient, directory: Path) -> None:
    answer = await client.post(PATH, files={"files": ("a.pdf", PDF)})
    storage, upload_id = Directory(directory), answers.content(answer)["files"][0]["id"]
    for _ in range(2):
        await storage.delete("documents", upload_id)
        assert (await client.get(f"{PATH}/{upload_id}")).status_code == 404
    assert stored(directory) == []


async def test_a_directory_that_cannot_be_made_stops_the_start(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationInvalid, match="UPLOADS__DIRECTORY: cannot write to"):
        await start(uploads={"directory": str(tmp_path / "file" / "uploads")})
