"""One trail of several processes, under a full disk, `kill -9` and a stop, and verified by its command."""

import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered, Service

SLICE = Path(__file__).parent / "slices" / "ledger.py"
KEY = "a-key-of-sixteen-letters"


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service whose owner has added a slice in which something happens."""
    made = rendered(copy=True, extensions=["audit"], sample=False)
    slices = made.root / "app" / "features"
    (slices / "ledger.py").write_text(SLICE.read_text())
    listed = (slices / "__init__.py").read_text().replace("    return []", "    return [ledger.component()]")
    assert "ledger.component()" in listed
    (slices / "__init__.py").write_text(
        listed.replace("from app.core.settings", "from app.features import ledger\nfrom app.core.settings")
    )
    return made


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """The file."""
    return tmp_path / "audit.jsonl"


@pytest.fixture
def start(service: Rendered, run: Run, trail: Path) -> Callable[..., Service]:
    """Starts a process of the service."""
    return lambda **settings: run(service, **{"AUDIT__PATH": str(trail), "AUDIT__KEY": KEY, **settings})


@pytest.fixture
def verify(service: Rendered, trail: Path) -> Callable[..., tuple[int, str]]:
    """Runs the command; gives its exit status and what it says."""

    def verified(*arguments: str) -> tuple[int, str]:
        settings = {"AUDIT__PATH": str(trail), "AUDIT__KEY": KEY}
        done = service.run("app.extensions.audit", "verify", *arguments, settings=settings)
        return done.returncode, done.stdout

    return verified


def book(process: Service, entry: int, size: int = 0) -> int:
    """Book an entry."""
    return process.http.post(f"/api/v1/ledger/{entry}", params={"size": size}).status_code


def records(trail: Path) -> list[dict[str, Any]]:
    """Return the records of the file."""
    return [json.loads(line) for line in trail.read_text().splitlines(keepends=True) if line.endswith("\n")]


def subjects(trail: Path) -> list[str]:
    """Return the entries that were booked, in the order of the file."""
    return [record["subject"] for record in records(trail)]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_two_processes_write_one_chain_and_their_stop_writes_the_rest(
    start: Callable[..., Service], trail: Path, verify: Callable[..., tuple[int, str]]
) -> None:
    processes = [start(AUDIT__FLUSH_INTERVAL="0.01"), start(AUDIT__FLUSH_INTERVAL="30")]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda entry: book(processes[entry % 2], entry), range(200))) == {201}
    assert verify()[0] == 0  # while they run
    assert len(subjects(trail)) < 200
    for process in processes:
        process.stop()
    assert sorted(subjects(trail), key=int) == [str(entry) for entry in range(200)]
    status, told = verify()
    assert (status, told.splitlines()[0]) == (0, "200 records are as they were written; the end is")
    heads = [process.logged(event="audit trail closed")[0]["head"] for process in processes]
    assert told.splitlines()[1] in heads
    assert verify("--known", heads[0], "--known", heads[1])[0] == 0
    assert all(record["correlation_id"] and record["client"] == "127.0.0.1" for record in records(trail))


def test_workers_of_one_service_write_one_chain(
    start: Callable[..., Service], trail: Path, verify: Callable[..., tuple[int, str]]
) -> None:
    process = start(SERVER__WORKERS="2")
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda entry: book(process, entry), range(100))) == {201}
    until(lambda: len(subjects(trail)) == 100, "all is written")
    process.stop()
    assert verify()[0] == 0


def test_a_process_that_is_killed_loses_what_was_gathered_last_and_the_chain_goes_on(
    start: Callable[..., Service], trail: Path, verify: Callable[..., tuple[int, str]]
) -> None:
    killed = start()
    for entry in range(50):
        assert book(killed, entry) == 201
    until(lambda: len(subjects(trail)) == 50, "all is written")
    with ThreadPoolExecutor(4) as pool:
        under_way = [pool.submit(killed.http.post, f"/api/v1/ledger/{entry}") for entry in range(50, 250)]
        until(lambda: sum(one.done() for one in under_way) > 20, "some are booked")
        killed.process.kill()
    killed.process.wait()
    assert subjects(trail)[:50] == [str(entry) for entry in range(50)]
    assert verify()[0] == 0
    with trail.open("ab") as file:
        file.write(b'{"number":51,"previous":"0')  # of a kill in the middle of a write
    assert verify()[0] == 0
    before = len(subjects(trail))
    after = start()
    assert book(after, 1000) == 201
    until(lambda: len(subjects(trail)) == before + 1, "it goes on")
    assert after.troubles()[0]["event"].startswith("cut an unfinished record off")
    assert verify()[0] == 0


def test_a_disk_that_is_full_costs_no_request_and_no_record(
    start: Callable[..., Service], trail: Path, verify: Callable[..., tuple[int, str]]
) -> None:
    process = start(LOG__LEVEL="WARNING")
    assert book(process, 0, size=2_000_000) == 201  # so that no other file of the service is as large
    until(lambda: len(subjects(trail)) == 1, "it is written")
    # What the kernel refuses to write beyond this size: the nearest to a full disk that needs no right to mount one.
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (trail.stat().st_size + 100, resource.RLIM_INFINITY))
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda entry: book(process, entry), range(1, 21))) == {201}
    process.logged(level="error", logger="app.extensions.audit.writer")
    assert subjects(trail) == ["0"]
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert book(process, 100) == 201
    until(lambda: len(subjects(trail)) == 22, "what waited is written")
    assert sorted(subjects(trail), key=int) == [str(entry) for entry in [*range(21), 100]]
    assert len([line for line in process.lines() if line["logger"] == "app.extensions.audit.writer"]) == 2
    assert verify()[0] == 0


def test_tampering_is_found(start: Callable[..., Service], trail: Path, verify: Callable[..., tuple[int, str]]) -> None:
    process = start()
    for entry in range(5):
        assert book(process, entry) == 201
    process.stop()
    whole = trail.read_bytes()
    lines = whole.splitlines(keepends=True)
    for changed, message in (
        (whole.replace(b'"entry":2', b'"entry":9'), ":3: this is no record that was written"),
        (b"".join([*lines[:2], *lines[3:]]), ":3: record 4 does not follow record 2"),
        (b"".join(lines[:-1]), "the chain ends with record 4 and does not have 5:"),
    ):
        trail.write_bytes(changed)
        status, told = verify()
        assert status == 1
        assert message in told
    trail.write_bytes(whole)
    assert verify()[0] == 0
