"""The trail of a service: who did what, when, within which request, before and after."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings
from app.core.telemetry import BusinessEvent, SecurityEvent, emit
from app.extensions.audit.__main__ import verify
from app.extensions.audit.chain import START
from app.main import create_app, default_components
from tests.conftest import Opened, Start
from tests.extensions.audit.conftest import EVENTS, KEY

pytestmark = pytest.mark.anyio
Records = Callable[[], list[dict[str, Any]]]


async def written(records: Records, path: Path, number: int) -> list[dict[str, Any]]:
    """The records, as soon as there are so many."""
    with anyio.fail_after(20):
        while not path.exists() or len(records()) < number:  # noqa: ASYNC110, ASYNC240  # no event to wait for
            await anyio.sleep(0.02)
    return records()


async def test_a_record_says_who_did_what_when_within_which_request(start: Start, path: Path, records: Records) -> None:
    client = await start(extra=[EVENTS], audit={"path": str(path), "key": KEY}, address="192.0.2.7")
    await client.post("/api/v1/events/prices", headers={"X-Correlation-ID": "a-request-1"})
    await client.post("/api/v1/events/logins", headers={"X-Correlation-ID": "a-request-2"})
    changed, refused = await written(records, path, 2)
    for record in (changed, refused):
        assert abs(datetime.fromisoformat(record.pop("time")) - datetime.now(UTC)) < timedelta(minutes=2)
        record.pop("hash")
    assert changed == {
        "number": 1,
        "previous": START.seal,
        "kind": "business",
        "who": "user:ada",
        "client": "192.0.2.7",
        "correlation_id": "a-request-1",
        "name": "price_changed",
        "subject": "product 7",
        "before": {"price": 1, "password": "[redacted]"},
        "after": {"price": 2, "password": "[redacted]"},
    }
    assert (refused["kind"], refused["who"], refused["client"]) == ("security", None, "192.0.2.7")
    assert (refused["name"], refused["subject"]) == ("authentication_failed", "bob")
    assert refused["reason"] == "expired, sent Bearer [redacted]"
    assert refused["correlation_id"] == "a-request-2"
    assert verify([path], KEY.encode()).number == 2


async def test_what_is_rolled_back_has_not_happened(start: Start, path: Path, records: Records) -> None:
    client = await start(extra=[EVENTS], audit={"path": str(path)})
    assert (await client.post("/api/v1/events/prices?fail=true")).status_code == 422
    await client.post("/api/v1/events/prices")
    (record,) = await written(records, path, 1)
    assert record["name"] == "price_changed"


async def test_what_happens_outside_a_request_is_recorded_too(start: Start, path: Path, records: Records) -> None:
    await start(audit={"path": str(path)})
    odd: dict[Any, Any] = {"big": 2**70, 7: "key", "half": "\ud800", "when": datetime(2026, 1, 1, tzinfo=UTC)}
    emit(BusinessEvent("stock_counted", after=odd))
    (record,) = await written(records, path, 1)
    assert (record["who"], record["client"]) == (None, None)
    assert "correlation_id" not in record
    assert record["after"]["big"] == 2**70
    assert verify([path], b"").number == 1


async def test_the_end_writes_what_is_pending(
    configured: Callable[..., Settings], path: Path, records: Records
) -> None:
    settings = configured(audit={"path": str(path), "flush_interval": 50})
    for round_ in (1, 2):
        async with Opened(create_app([*default_components(settings)], settings)):
            for number in range(2500):
                emit(BusinessEvent("counted", str(number)))
        assert [int(record["subject"]) for record in records()] == [*range(2500)] * round_
    assert verify([path], b"").number == 5000


async def test_a_batch_is_one_write(
    configured: Callable[..., Settings], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr("app.extensions.audit.chain.os.fsync", syncs.append)
    settings = configured(audit={"path": str(path), "flush_interval": 50})
    async with Opened(create_app([*default_components(settings)], settings)):
        for _ in range(500):
            emit(SecurityEvent("seen"))
    assert len(syncs) == 2  # one when it opens, one for all of them


async def test_an_event_may_be_left_out(start: Start, path: Path, records: Records) -> None:
    await start(audit={"path": str(path), "leave_out": "seen, heard"})
    for name in ("seen", "told", "heard"):
        emit(SecurityEvent(name))
    (record,) = await written(records, path, 1)
    assert record["name"] == "told"


async def test_the_log_has_the_end_of_the_trail(
    configured: Callable[..., Settings], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = configured(audit={"path": str(path)})
    async with Opened(create_app([*default_components(settings)], settings)):
        emit(SecurityEvent("seen"))
    heads = [record.__dict__["head"] for record in caplog.records if record.message.startswith("audit trail")]
    assert heads == [str(START), str(verify([path], b""))]


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_trail_without_a_key_is_warned_of(
    start: Start, path: Path, caplog: pytest.LogCaptureFixture, key: str | None
) -> None:
    await start(audit={"path": str(path), **({"key": key} if key else {})})
    assert ("AUDIT__KEY is not set" in caplog.text) is (key is None)


async def test_a_file_that_cannot_be_made_stops_the_start(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationInvalid, match="AUDIT__PATH: cannot write to"):
        await start(audit={"path": str(tmp_path / "file" / "audit.jsonl")})


async def test_the_file_is_for_its_owner_and_group(start: Start, path: Path) -> None:
    await start(audit={"path": str(path)})
    assert (await anyio.Path(path).stat()).st_mode & 0o007 == 0
