"""Every line in its file, with several processes, rotation, a killed one, a full disk and a read-only folder."""

import gzip
import json
import os
import shlex
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered, Service
from tests.tree import CHOICES

STREAMS = ("app", "errors", "access", "performance", "audit")
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module", params=CHOICES["database"])
def service(request: pytest.FixtureRequest, rendered: Make) -> Rendered:
    """A service on each database."""
    return rendered(extensions=["log_files"], sample=True, database=request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the log files."""
    return tmp_path / "logs"


@pytest.fixture
def start(service: Rendered, run: Run, folder: Path) -> Callable[..., Service]:
    """Starts the service."""
    return lambda **settings: run(service, **{"LOG_FILES__DIRECTORY": str(folder), **settings})


def read(folder: Path, stream: str) -> Lines:
    """All lines of a stream, each of which has to be JSON. A compressed file replaces the plain one of its name."""
    texts: dict[str, bytes] = {}
    for file in sorted(folder.glob(f"{stream}*")):
        if file.suffix == ".gz":
            texts[file.stem] = gzip.decompress(file.read_bytes())
        elif file.suffix == ".log":
            texts.setdefault(file.name, file.read_bytes())
    return [json.loads(line) for text in texts.values() for line in text.splitlines()]


def load(process: Service, name: str, requests: int, *, failing: bool = False) -> None:
    """Ask so often, each time with another correlation id, and on a new connection, so that every process is asked."""

    def ask(client: int) -> None:
        alone = httpx2.Limits(max_keepalive_connections=0)
        with httpx2.Client(base_url=process.url, timeout=BOUND, limits=alone) as http:
            for number in range(requests // 4):
                try:
                    answer = http.get("/api/v1/orders", headers={"X-Correlation-ID": f"{name}-{client}-{number:06}"})
                    assert answer.status_code == 200
                except httpx2.TransportError:
                    assert failing

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(ask, client) for client in range(4)]:
            done.result(timeout=10 * BOUND)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_no_line_of_several_processes_is_lost_or_doubled_by_rotation(
    start: Callable[..., Service], folder: Path
) -> None:
    process = start(SERVER__WORKERS="3", LOG_FILES__ACCESS_SIZE="60000", LOG_FILES__FLUSH_INTERVAL="0.05")
    load(process, "load", 2000)
    process.stop()
    found = [line for line in read(folder, "access") if line["correlation_id"].startswith("load-")]
    expected = {f"load-{client}-{number:06}" for client in range(4) for number in range(500)}
    assert Counter(line["correlation_id"] for line in found) == Counter(expected)
    assert len({line["process"] for line in found}) > 1
    assert len(list(folder.glob("access-*"))) > 5
    assert list(folder.glob("access-*.gz"))
    shown = [line for line in process.lines() if line["logger"] == "access" and line["route"].endswith("/orders")]
    assert sorted(map(str, shown)) == sorted(map(str, found))


def test_a_process_that_is_killed_loses_its_last_moment_and_nothing_of_the_others(
    start: Callable[..., Service], folder: Path
) -> None:
    process = start(SERVER__WORKERS="3", LOG_FILES__ACCESS_SIZE="60000")
    load(process, "before", 400)
    until(lambda: len(read(folder, "access")) >= 400, "what was asked before is written")
    with ThreadPoolExecutor(1) as pool:
        under_load = pool.submit(load, process, "while", 800, failing=True)
        until(lambda: "while-1-000100" in process.text(), "it is asked again")
        killed = next(line["process"] for line in reversed(process.lines()) if line["logger"] == "access")
        os.kill(killed, signal.SIGKILL)
        under_load.result(timeout=10 * BOUND)
    process.stop()
    written = {line["correlation_id"] for line in read(folder, "access")}
    shown = [line for line in process.lines() if line["logger"] == "access"]
    missing = [line for line in shown if line["correlation_id"] not in written]
    assert {line["process"] for line in missing} <= {killed}
    last = max(datetime.fromisoformat(line["timestamp"]) for line in shown if line["process"] == killed)
    # 0.2 seconds, on a machine that lets the writing thread run in time
    assert all((last - datetime.fromisoformat(line["timestamp"])).total_seconds() < 3 for line in missing)


def test_a_full_disk_costs_no_request_and_what_waits_is_written_later(
    start: Callable[..., Service], folder: Path
) -> None:
    folder.mkdir()
    for stream in STREAMS:
        (folder / f"{stream}.log").symlink_to("/dev/full")
    process = start()
    load(process, "full", 200)
    (error,) = process.logged(level="error")
    assert "No space left on device" in error["event"]
    until(lambda: process.http.get("/health").json()["status"] == "degraded", "/health tells it")
    assert process.http.get("/health/ready").status_code == 200
    for stream in STREAMS:
        (folder / f"{stream}.log").unlink()
    assert process.logged(event="log files are written again: 0 lines are lost")
    assert len(process.logged(level="error")) == 1
    process.stop()
    found = Counter(line["correlation_id"] for line in read(folder, "access"))
    assert {f"full-{client}-{number:06}" for client in range(4) for number in range(50)} <= set(found)
    assert set(found.values()) == {1}
    assert [line["event"] for line in read(folder, "errors")] == [error["event"]]


@pytest.fixture
def without_rights(rendered: Make, tmp_path: Path) -> Iterator[Rendered]:
    """A service in a folder that it cannot write, run by a user who is not above permissions.

    The database is a file: the socket of a server may be closed to such a user as well.
    """
    service = rendered(copy=True, extensions=["log_files"], sample=True, database="sqlite")
    root, python = service.root, service.python
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        assert setpriv, "setpriv is missing: apt-get install util-linux"
        python = tmp_path / "bin" / "python"
        python.parent.mkdir()
        without = f"{setpriv} --bounding-set=-all --inh-caps=-all --no-new-privs"
        python.write_text(f'#!/bin/sh\nexec {without} {shlex.quote(str(service.python))} "$@"\n')
        python.chmod(0o755)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    yield Rendered(root, python, database=service.database)
    for path in folders:
        path.chmod(0o755)


def test_nothing_but_the_folder_has_to_be_writable(without_rights: Rendered, run: Run, folder: Path) -> None:
    refused = without_rights.run("app")
    assert refused.returncode == 3
    assert "Traceback" not in refused.stdout
    (line,) = [line for line in refused.stdout.splitlines() if "LOG_FILES__DIRECTORY" in line]
    assert "(Permission denied)" in line
    process = run(without_rights, LOG_FILES__DIRECTORY=str(folder))
    load(process, "alone", 40)
    process.stop()
    assert len([line for line in read(folder, "access") if line["correlation_id"].startswith("alone")]) == 40


def test_no_secret_reaches_a_file(start: Callable[..., Service], folder: Path) -> None:
    process = start(LOG__FORMAT="console")
    secret = "s3cr3t-of-mine"  # noqa: S105  # one that is no secret
    process.http.get("/api/v1/orders", params={"token": secret}, headers={"Authorization": f"Bearer {secret}"})
    process.http.post("/api/v1/orders", json={"password": secret})
    process.stop()
    assert len(read(folder, "access")) >= 2
    assert secret not in "".join(json.dumps(read(folder, stream)) for stream in STREAMS)
    assert secret not in process.text()
