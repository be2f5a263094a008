"""A disk that takes nothing: requests go on, records wait, and what cannot wait is in the log."""

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from app.core.settings import Settings
from app.core.telemetry import SecurityEvent, emit
from app.extensions.audit.__main__ import verify
from app.main import create_app, default_components
from tests.conftest import Opened, Start
from tests.extensions.audit.conftest import EVENTS

pytestmark = pytest.mark.anyio
Records = Callable[[], list[dict[str, Any]]]


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each write gets a part of its bytes down, and the next one none."""
    write, room = os.write, [100]

    def fail(descriptor: int, data: bytes) -> int:
        if not room[0]:
            room[0] = 100
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part, room[0] = data[: room[0]], 0
        return write(descriptor, part)

    with monkeypatch.context() as patch:
        patch.setattr("app.extensions.audit.chain.os.write", fail)
        patch.setattr("app.extensions.audit.writer.PAUSE", 0.05)
        yield


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110  # no event to wait for
            await anyio.sleep(0.02)


async def test_records_wait_for_a_full_disk_and_are_written_in_order(
    start: Start, path: Path, records: Records, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start(extra=[EVENTS], audit={"path": str(path), "flush_interval": 0.01})
    emit(SecurityEvent("before"))
    await until(lambda: len(records()) == 1)
    with full_disk(monkeypatch):
        for number in range(20):
            emit(SecurityEvent("during", str(number)))
        await until(lambda: "cannot be written" in caplog.text)
        assert (await client.post("/api/v1/events/prices")).status_code == 200
        await anyio.sleep(0.3)
        parts = (await client.get("/health")).json()["parts"]
        assert parts["audit"] | {"latency": 0} == {"status": "failed", "critical": False, "latency": 0, "facts": {}}
        assert (await client.get("/health/ready")).status_code == 200
    await until(lambda: len(records()) == 22)
    assert [record["subject"] for record in records()[1:21]] == [str(number) for number in range(20)]
    assert verify([path], b"").number == 22
    told = [record for record in caplog.records if "audit records" in record.message]
    assert [record.levelno for record in told] == [logging.ERROR, logging.WARNING]


async def test_records_whose_end_cannot_be_noted_are_written_once(
    start: Start, path: Path, records: Records, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    await start(audit={"path": str(path), "flush_interval": 0.01})
    with monkeypatch.context() as patch:
        patch.setattr("app.extensions.audit.chain.os.pwrite", fail)
        patch.setattr("app.extensions.audit.writer.PAUSE", 0.05)
        for number in range(3):
            emit(SecurityEvent("seen", str(number)))
        await until(lambda: "cannot be written" in caplog.text)
        await anyio.sleep(0.3)
    await until(lambda: len(records()) >= 3)
    assert [record["subject"] for record in records()] == ["0", "1", "2"]
    assert verify([path], b"").number == 3


async def test_a_service_that_may_not_go_on_without_its_trail_is_not_ready(
    start: Start, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start(audit={"path": str(path), "flush_interval": 0.01, "required": True})
    with full_disk(monkeypatch):
        emit(SecurityEvent("seen"))
        await until(lambda: "cannot be written" in caplog.text)
        assert (await client.get("/health/ready")).status_code == 503


async def test_what_has_no_room_in_memory_is_in_the_log(
    configured: Callable[..., Settings],
    path: Path,
    records: Records,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = configured(audit={"path": str(path), "flush_interval": 1, "backlog": 5})
    async with Opened(create_app([*default_components(settings)], settings)):
        with full_disk(monkeypatch):
            for number in range(8):
                emit(SecurityEvent("seen", str(number)))
            assert logged(caplog) == ["5", "6", "7"]
            await until(lambda: "cannot be written" in caplog.text)
    assert [record["subject"] for record in records()] == ["0", "1", "2", "3", "4"]


async def test_what_cannot_be_written_at_the_end_is_in_the_log(
    configured: Callable[..., Settings],
    path: Path,
    records: Records,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = configured(audit={"path": str(path)})
    with full_disk(monkeypatch):
        async with Opened(create_app([*default_components(settings)], settings)):
            for number in range(3):
                emit(SecurityEvent("seen", str(number)))
    assert records() == []
    assert logged(caplog) == ["0", "1", "2"]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The subjects of the records that the log has."""
    return [
        record.__dict__["record"]["subject"]
        for record in caplog.records
        if record.message == "an audit record is not in the file"
    ]
