"""Files over the wire: streams without an end, a full disk, processes that are killed or share a directory."""

import os
import resource
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from tests.docs.markdown import blocks, write
from tests.live import exchange
from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered, Service

PATH = "/api/v1/documents"
MEGABYTE = 1_048_576
HEAD = (
    b"POST /api/v1/documents HTTP/1.1\r\nHost: service\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    """A piece of a body without a length."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def begun(name: str) -> bytes:
    """The head of a form with one file."""
    return chunk(b'--b\r\nContent-Disposition: form-data; name="files"; filename="%b"\r\n\r\n' % name.encode())


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service whose owner has added the slice of the guide, which takes files."""
    made = rendered(copy=True, extensions=["uploads"], sample=False)
    slices = made.root / "app" / "features"
    (block,) = [found for found in blocks((made.root / "docs" / "options" / "uploads.md").read_text()) if found.path]
    write(made.root, block)
    listed = (slices / "__init__.py").read_text().replace("    return []", "    return [documents.component()]")
    assert "documents.component()" in listed
    (slices / "__init__.py").write_text(
        listed.replace("from app.core.settings", "from app.features import documents\nfrom app.core.settings")
    )
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of the stored files."""
    return tmp_path / "uploads"


@pytest.fixture
def start(service: Rendered, run: Run, directory: Path) -> Callable[..., Service]:
    """Starts a process of the service."""
    return lambda **settings: run(service, **{"UPLOADS__DIRECTORY": str(directory), **settings})


def stored(directory: Path) -> list[str]:
    """Return the names of what is in the directory."""
    return sorted(path.name for path in directory.iterdir() if path.name != ".lock")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("large.txt", 413, "file_too_large"),
        ("page.html", 415, "file_type_refused"),
        ("../a.txt", 422, "file_name_refused"),
    ],
)
def test_fifty_megabytes_without_a_length_are_refused_while_they_come(
    start: Callable[..., Service], directory: Path, name: str, status: int, code: str
) -> None:
    process = start()
    sent = 0
    with exchange.connect(process.port) as connection:
        connection.sendall(HEAD + begun(name))
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 50 * MEGABYTE and not _answered(connection):
                connection.sendall(chunk(b"x" * MEGABYTE))
                sent += MEGABYTE
        answer = exchange.read_all(connection)
    assert sent < 25 * MEGABYTE
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.headers["connection"] == "close"
    assert stored(directory) == []
    assert process.http.get("/health/ready").status_code == 200


def _answered(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(20)


def test_files_are_not_held_in_memory(start: Callable[..., Service]) -> None:
    process = start()
    found = psutil.Process(process.process.pid)
    assert process.http.post(PATH, files={"files": ("a.txt", b"x" * 1000)}).status_code == 201
    peak, over = found.memory_info().rss, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.005):
            peak = max(peak, found.memory_info().rss)

    before = peak
    watcher = threading.Thread(target=watch)
    watcher.start()
    answer = process.http.post(PATH, files=[("files", (f"{n}.txt", b"y" * (10 * MEGABYTE))) for n in range(8)])
    over.set()
    watcher.join()
    assert answer.status_code == 201
    assert peak - before < 20 * MEGABYTE  # of 80
    assert {file["sha256"] for file in answer.json()["files"]} == {sha256(b"y" * (10 * MEGABYTE)).hexdigest()}


def test_a_disk_that_is_full_is_507_and_the_service_serves_on(start: Callable[..., Service], directory: Path) -> None:
    process = start()
    (small,) = [file["id"] for file in process.http.post(PATH, files={"files": ("a.txt", b"x")}).json()["files"]]
    # What the kernel refuses to write beyond this size: the nearest to a full disk that needs no right to mount one.
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (MEGABYTE, resource.RLIM_INFINITY))
    large = {"files": ("b.txt", b"x" * (5 * MEGABYTE))}
    answer = process.http.post(PATH, files=large)
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    assert stored(directory) == [small]
    assert process.http.get(f"{PATH}/{small}").content == b"x"
    assert process.http.post(PATH, files={"files": ("c.txt", b"x")}).status_code == 201
    assert len(process.troubles()) == 1
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert process.http.post(PATH, files=large).status_code == 201


def test_a_process_that_is_killed_leaves_nothing_that_the_next_does_not_remove(
    start: Callable[..., Service], directory: Path
) -> None:
    killed, living = start(), start()
    upload_id = killed.http.post(PATH, files={"files": ("a.txt", b"x")}).json()["files"][0]["id"]
    with exchange.connect(killed.port) as one, exchange.connect(living.port) as other:
        for connection in (one, other):
            connection.sendall(HEAD + begun("b.txt") + chunk(b"x" * MEGABYTE))
        until(lambda: len(stored(directory)) == 3, "both have begun to write")
        killed.process.kill()
        killed.process.wait()
        assert len(stored(directory)) == 3
        third = start()
        (unfinished,) = [name for name in stored(directory) if name.endswith(".part")]
        assert third.troubles()[0]["event"].startswith("removed an upload that was never finished")
        assert third.http.get(f"{PATH}/{upload_id}").content == b"x"
        assert third.http.get(f"{PATH}/{unfinished.removesuffix('.part')}").status_code == 404
        other.sendall(chunk(b"\r\n--b--\r\n") + b"0\r\n\r\n")
        answer = exchange.read_all(other)
    assert answer.status == 201
    assert answer.json()["files"][0]["id"] == unfinished.removesuffix(".part")
    assert third.http.get(f"{PATH}/{answer.json()['files'][0]['id']}").content == b"x" * MEGABYTE
    assert not [name for name in stored(directory) if name.endswith(".part")]


def test_a_slow_upload_has_its_time_and_a_client_that_stands_still_has_not(
    start: Callable[..., Service], directory: Path
) -> None:
    process = start(HTTP__RECEIVE_TIMEOUT="1", HTTP__REQUEST_TIMEOUT="5")
    parts = [HEAD, begun("a.txt"), *[chunk(b"x")] * 5, chunk(b"\r\n--b--\r\n"), b"0\r\n\r\n"]
    assert exchange.send(process.port, *parts, pause=0.5).status == 201
    before = stored(directory)
    answer = exchange.send(process.port, HEAD, begun("a.txt") + chunk(b"x"))
    assert answer.status == 503
    assert stored(directory) == before


def test_files_outlive_a_restart(start: Callable[..., Service]) -> None:
    first = start()
    content = os.urandom(3 * MEGABYTE)
    answer = first.http.post(PATH, files={"files": ("a.pdf", b"%PDF-1.7" + content)})
    upload_id = answer.json()["files"][0]["id"]
    first.stop()
    back = start().http.get(f"{PATH}/{upload_id}")
    assert back.content == b"%PDF-1.7" + content
    assert back.headers["content-disposition"].startswith("attachment")
    assert back.headers["x-content-type-options"] == "nosniff"
