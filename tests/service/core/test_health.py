"""Health: for the platform, and in detail for operators."""

import time
from collections.abc import Mapping
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import APIRouter, Request

from app.core import health
from app.core.component import Check, Component, State
from tests.conftest import Start
from tests.core.conftest import Lines

KEY = "a-key-of-sixteen-or-more"


router = APIRouter()


@router.put("/stage")
async def change_stage(request: Request, *, ready: bool, draining: bool) -> None:
    """Puts the service elsewhere between its start and its end."""
    request.state.lifecycle.ready, request.state.lifecycle.draining = ready, draining


class Part:
    """Something to be checked, which counts how often it is."""

    def __init__(self) -> None:
        self.works = True
        self.seconds = 0.0
        self.probes = 0

    async def probe(self, _: State) -> Mapping[str, Any]:
        """Waits, then works or fails."""
        self.probes += 1
        await anyio.sleep(self.seconds)
        if not self.works:
            raise ConnectionError("s3cr3t cause")
        return {"answers": 42}


@pytest.fixture
def part() -> Part:
    return Part()


def component(*parts: Part, critical: bool = True, timeout: float = 1.0) -> Component:
    checks = [
        Check(name=f"part {number}", probe=part.probe, critical=critical, timeout=timeout)
        for number, part in enumerate(parts, 1)
    ]
    return Component(name="parts", checks=checks)


@pytest.fixture(autouse=True)
def _never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH", 0.0)


@pytest.mark.parametrize("path", ["/health/live", "/health/startup", "/health/ready"])
async def test_a_service_that_works_says_ok(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_failing_critical_part_makes_it_unready_and_nothing_else(start: Start, part: Part) -> None:
    client = await start(extra=[component(part)])
    part.works = False
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert answer.json()["details"] == {"status": "failed", "failing": ["part 1"]}
    assert answer.headers["retry-after"] == "1"
    assert "s3cr3t" not in answer.text
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/startup")).status_code == 200
    part.works = True
    assert (await client.get("/health/ready")).status_code == 200


async def test_a_part_that_is_not_critical_shows_in_the_detail_alone(start: Start, part: Part) -> None:
    client = await start(extra=[component(part, critical=False)])
    part.works = False
    assert (await client.get("/health/ready")).status_code == 200
    answer = await client.get("/health")
    assert (answer.json()["status"], answer.json()["parts"]["part 1"]["status"]) == ("degraded", "failed")


async def test_parts_are_checked_side_by_side_each_within_its_time(start: Start) -> None:
    parts = [Part(), Part(), Part()]
    client = await start(extra=[component(*parts, timeout=3.0)])
    for each in parts:
        each.seconds = 60.0
    started = time.perf_counter()
    answer = await client.get("/health/ready")
    assert answer.json()["details"]["failing"] == ["part 1", "part 2", "part 3"]
    assert time.perf_counter() - started < 8  # one after the other they would take 9


async def test_readiness_is_answered_before_a_check_that_hangs(start: Start) -> None:
    hangs, works, matters_not = Part(), Part(), Part()
    other = Component(name="other", checks=[Check(name="other", probe=matters_not.probe, critical=False)])
    client = await start(extra=[component(hangs, works, timeout=3.0), other])
    hangs.seconds = matters_not.seconds = 60.0
    for _ in range(3):
        started = time.perf_counter()
        answer = await client.get("/health/ready")
        assert answer.json()["details"]["failing"] == ["part 1"]
        assert time.perf_counter() - started < 1
    hangs.seconds = 0.0
    with anyio.fail_after(4):  # the round that hangs ends
        while (await client.get("/health/ready")).status_code != 200:
            await anyio.sleep(0.05)


async def test_however_many_ask_the_parts_are_checked_once_in_two_seconds(
    start: Start, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "FRESH", 2.0)
    clock = [1000.0]
    monkeypatch.setattr(health, "monotonic", lambda: clock[0])
    client = await start(extra=[component(part)])
    part.seconds = 0.05
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(client.get, "/health/ready")
    assert part.probes == 1
    for clock[0], probes in ((1001.9, 1), (1002.1, 2)):
        await client.get("/health/ready")
        assert part.probes == probes


async def test_who_goes_away_does_not_stop_the_check_for_the_others(start: Start, part: Part) -> None:
    client = await start(extra=[component(part)])
    part.seconds = 0.1
    with anyio.move_on_after(0.02):
        await client.get("/health/ready")
    assert (await client.get("/health/ready")).status_code == 200
    assert part.probes == 1


async def test_a_cause_is_logged_once_for_each_outage(start: Start, part: Part, log_lines: Lines) -> None:
    client = await start(extra=[component(part)], log={"format": "json"})
    for works in (False, False, True, False):
        part.works = works
        await client.get("/health/ready")
    warnings = [line for line in log_lines() if line["level"] == "warning" and "exception" in line]
    assert len(warnings) == 2
    assert "s3cr3t cause" in warnings[0]["exception"]


async def test_the_detail_has_every_part_with_its_latency_and_facts(start: Start, part: Part) -> None:
    client = await start(extra=[component(part)])
    found = (await client.get("/health")).json()
    assert (found["status"], found["version"]) == ("ok", "0.1.0")
    shown = found["parts"]["part 1"]
    assert (shown["status"], shown["critical"], shown["facts"]) == ("ok", True, {"answers": 42})
    assert 0 <= shown["latency"] < 1
    database = found["parts"]["database"]
    assert database["facts"]["pool"]["size"] >= 20
    assert database["facts"]["pool"]["taken"] == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "192.168.1.1", "fd00::1", "::ffff:10.0.0.7"])
async def test_a_private_address_sees_the_detail(start: Start, address: str) -> None:
    client = await start(address=address)
    assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize("address", ["8.8.8.8", "2a00::1", "::ffff:8.8.8.8", "", "unknown"])
async def test_a_public_address_needs_the_key(start: Start, address: str) -> None:
    client = await start(address=address, health={"key": KEY})
    for given in ("", "wrong", "ümlaut"):
        answer = await client.get("/health", headers={b"X-Health-Key": given.encode()})
        assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")
        assert "parts" not in answer.json()
    assert (await client.get("/health", headers={"X-Health-Key": KEY})).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "CF-Connecting-IP"])
async def test_what_came_through_a_proxy_needs_the_key(start: Start, header: str) -> None:
    client = await start(health={"key": KEY})
    headers = {header: "10.0.0.1"}
    assert (await client.get("/health", headers=headers)).status_code == 401
    assert (await client.get("/health", headers={**headers, "X-Health-Key": KEY})).status_code == 200


async def test_without_a_key_an_empty_one_opens_nothing(start: Start) -> None:
    client = await start(address="8.8.8.8")
    assert (await client.get("/health", headers={"X-Health-Key": ""})).status_code == 401


async def test_a_service_that_starts_or_stops_is_not_ready(start: Start) -> None:
    client = await start(extra=[Component(name="stages", routers=[router])])
    await client.put("/stage", params={"ready": True, "draining": True})
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["details"]["status"]) == (503, "draining")
    assert answer.headers["connection"] == "close"
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health")).json()["status"] == "draining"
    await client.put("/stage", params={"ready": False, "draining": False})
    for path in ("/health/ready", "/health/startup"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["details"]["status"]) == (503, "starting")
    assert (await client.get("/health")).json()["status"] == "starting"
