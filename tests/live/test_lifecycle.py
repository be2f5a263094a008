"""A service is replaced without losing a request, and dies without losing an order."""

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from tests.live.conftest import Make, Run
from tests.live.service import BOUND, ORDERS, Rendered, Service, free_port, order

SLOW = "/api/v1/probe/slow"


@pytest.fixture
def rendering(base: str, probed: Make) -> Rendered:
    """A service with the probe, on each database."""
    return probed(database=base)


@pytest.mark.timeout(120)
def test_a_rolling_restart_fails_no_request(rendering: Rendered, run: Run) -> None:
    ports = [free_port(), free_port()]
    instances = [run(rendering, port=port) for port in ports]
    known = dict.fromkeys(ports, True)
    failed: list[str] = []
    done = 0
    rolling = True

    async def follow(http: httpx2.AsyncClient, port: int) -> None:
        while rolling:
            try:
                known[port] = (await http.get(f"http://127.0.0.1:{port}/health/ready")).status_code == 200
            except httpx2.TransportError:
                known[port] = False
            await asyncio.sleep(0.1)

    async def load(http: httpx2.AsyncClient, name: int) -> None:
        nonlocal done
        turn = name
        while rolling:
            turn += 1
            up = [port for port in ports if known[port]]
            if not up:
                failed.append("no instance is ready")
                await asyncio.sleep(0.1)
                continue
            url = f"http://127.0.0.1:{up[turn % len(up)]}{ORDERS}"
            try:
                answer = await (http.get(url) if turn % 3 else http.post(url, json=order(f"{name}-{turn}")))
                if answer.status_code not in {200, 201}:
                    failed.append(f"{answer.status_code} {answer.text}")
            except httpx2.TransportError as error:
                failed.append(repr(error))
            done += 1
            await asyncio.sleep(0.02)

    def roll() -> None:
        for number, port in enumerate(ports):
            time.sleep(0.5)
            instances[number].stop()
            instances[number] = run(rendering, port=port)

    async def everything() -> None:
        nonlocal rolling
        async with httpx2.AsyncClient(timeout=20) as probes, httpx2.AsyncClient(timeout=20) as http:
            tasks = [asyncio.create_task(follow(probes, port)) for port in ports]
            tasks += [asyncio.create_task(load(http, name)) for name in range(4)]
            await asyncio.to_thread(roll)
            await asyncio.sleep(0.5)
            rolling = False
            await asyncio.gather(*tasks)

    asyncio.run(everything())
    assert not failed, (len(failed), done, failed[:5])
    assert done > 50


def test_being_killed_loses_no_committed_order(base: str, rendered: Make, run: Run, tmp_path: Path) -> None:
    rendering = rendered(database=base)
    service = run(rendering)
    placed: list[str] = []

    def place(name: int) -> None:
        with httpx2.Client(base_url=service.url, timeout=10) as http, suppress(httpx2.TransportError):
            for number in range(10_000):
                answer = http.post(ORDERS, json=order(f"{name}-{number}"))
                assert answer.status_code == 201
                placed.append(answer.headers["location"])

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(place, name) for name in range(8)]
        while len(placed) < 100:
            time.sleep(0.01)
        os.kill(service.process.pid, signal.SIGKILL)
        for one in running:
            one.result(timeout=BOUND)
    if base == "sqlite":  # a copy of all its files has them too, as the page says
        file = Path(rendering.database.partition("///")[2])
        copies = [Path(shutil.copy(path, tmp_path)) for path in file.parent.glob(f"{file.name}*")]
        (count,) = sqlite3.connect(tmp_path / file.name).execute("SELECT count(*) FROM orders").fetchone()
        assert len(copies) > 1
        assert count >= len(placed)
    again = run(rendering)
    assert [where for where in placed if again.http.get(where).status_code != 200] == []


def test_several_workers_share_a_port_and_stop_together(rendering: Rendered, run: Run) -> None:
    service: Service = run(rendering, SERVER__WORKERS="2")
    for _ in range(20):
        assert httpx2.get(f"{service.url}{ORDERS}", timeout=10).status_code == 200
    assert service.stop() == 0
    opened = [line for line in service.lines() if line["event"] == "opened first"]
    closed = [line for line in service.lines() if line["event"] == "closed first"]
    assert len({line["process"] for line in opened}) == len({line["process"] for line in closed}) == 2


def test_a_worker_that_was_killed_is_replaced(rendering: Rendered, run: Run) -> None:
    service: Service = run(rendering, SERVER__WORKERS="2")
    first = service.logged(event="opened first")[0]["process"]
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + BOUND
    while len({line["process"] for line in service.logged(event="opened first")}) < 3:
        assert time.monotonic() < deadline, service.text()
        time.sleep(0.1)
    assert service.logged(event=f"Child process [{first}] died")
    assert service.stop() == 0
