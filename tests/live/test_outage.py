"""Whatever happens to the database, a request gets its answer within 3 seconds, and success comes back at once."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import httpx2
import pytest

from tests.live import postgres
from tests.live.conftest import Make, Run
from tests.live.service import ORDERS, Rendered, Service, order, running

PARALLEL = 40
LIMIT = 3.0
"""Seconds that a request may cost at most."""


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """A server that these tests may hurt."""
    with postgres.serve() as found:
        yield found


@pytest.fixture
def rendering(server: postgres.Server, probed: Make) -> Rendered:
    """A service on that server."""
    return probed(database="postgres", url=server.database())


@pytest.fixture
def service(rendering: Rendered, tmp_path: Path) -> Iterator[Service]:
    """It runs, and has an order."""
    with running(rendering, tmp_path / "service.log") as found:
        assert found.http.post(ORDERS, json=order("one")).status_code == 201
        yield found


def storm(service: Service, number: int = PARALLEL) -> list[tuple[httpx2.Response, float]]:
    """As many requests at once, half of them reading and half of them writing: each answer with its seconds."""

    async def ask() -> list[tuple[httpx2.Response, float]]:
        limits = httpx2.Limits(max_connections=number)
        async with httpx2.AsyncClient(base_url=service.url, timeout=30, limits=limits) as http:

            async def one(index: int) -> tuple[httpx2.Response, float]:
                started = time.monotonic()
                if index % 2:
                    answer = await http.get(f"{ORDERS}/1")
                else:
                    answer = await http.post(ORDERS, json=order(f"storm {index} {started}"))
                return answer, time.monotonic() - started

            return await asyncio.gather(*(one(index) for index in range(number)))

    return asyncio.run(ask())


def all_refused_in_time(answers: list[tuple[httpx2.Response, float]]) -> None:
    """Each one is a 503 with `Retry-After`."""
    assert {answer.status_code for answer, _ in answers} == {503}, [answer.text for answer, _ in answers][:3]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer, _ in answers)
    assert {answer.headers["content-type"] for answer, _ in answers} == {"application/problem+json"}
    assert max(seconds for _, seconds in answers) < LIMIT, sorted(seconds for _, seconds in answers)[-3:]


def back_within_a_second(service: Service) -> None:
    """Reads and writes succeed again, and from then on all of them do."""
    started = time.monotonic()
    while service.http.get(f"{ORDERS}/1").status_code != 200:
        assert time.monotonic() - started < 1, "no success within a second of its return"
        time.sleep(0.02)
    assert service.http.post(ORDERS, json=order(f"again {started}")).status_code == 201
    assert time.monotonic() - started < 1.5
    assert {answer.status_code for answer, _ in storm(service, 20)} <= {200, 201}


def test_a_frozen_server_costs_three_seconds_at_most(server: postgres.Server, service: Service) -> None:
    storm(service)  # the pool is full of connections that worked
    assert service.http.get("/health/ready").status_code == 200
    server.freeze()
    try:
        started = time.monotonic()
        while service.http.get("/health/ready").status_code == 200:
            time.sleep(0.05)
        assert time.monotonic() - started < 1.5, "within a second, and half of one for a busy machine"
        all_refused_in_time(storm(service))
        all_refused_in_time(storm(service))
        assert service.http.get("/health/live").status_code == 200
        assert service.http.get("/health/ready").status_code == 503
    finally:
        server.thaw()
    back_within_a_second(service)


def test_a_server_that_is_gone_is_a_503_at_once(server: postgres.Server, service: Service) -> None:
    storm(service)
    server.kill()
    try:
        all_refused_in_time(storm(service))
        all_refused_in_time(storm(service))
    finally:
        server.start()
    back_within_a_second(service)
    assert "Traceback" not in "".join(str(line["event"]) for line in service.lines())


def test_a_server_that_takes_no_more_connections_is_a_503(server: postgres.Server, service: Service) -> None:
    name = server.execute("SELECT current_database()", url=service.rendered.database).strip()
    server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        all_refused_in_time(storm(service, 10))
    finally:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    back_within_a_second(service)


def test_connections_that_were_cut_while_idle_are_never_used(server: postgres.Server, service: Service) -> None:
    for _ in range(3):
        storm(service, 10)
        others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
        server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        time.sleep(0.1)
        assert [service.http.get(f"{ORDERS}/1").status_code for _ in range(10)] == [200] * 10


def test_a_full_pool_is_a_503_in_time(rendering: Rendered, run: Run) -> None:
    service = run(rendering, DATABASE__POOL_SIZE="2", DATABASE__POOL_OVERFLOW="0", DATABASE__POOL_TIMEOUT="0.5")

    def wait(_: int) -> tuple[int, str, float]:
        with httpx2.Client(base_url=service.url, timeout=30) as http:
            started = time.monotonic()
            answer = http.get("/api/v1/probe/query", params={"statement": "SELECT pg_sleep(1.2)"})
        code = answer.json()["code"] if answer.status_code != 200 else ""
        return answer.status_code, code, time.monotonic() - started

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(wait, range(8)))
    assert sorted({(status, code) for status, code, _ in answers}) == [(200, ""), (503, "database_busy")]
    assert max(seconds for _, _, seconds in answers) < LIMIT


def test_a_statement_that_takes_too_long_is_given_up(service: Service) -> None:
    started = time.monotonic()
    answer = service.http.get("/api/v1/probe/query", params={"statement": "SELECT pg_sleep(20)"})
    assert answer.status_code == 503
    assert time.monotonic() - started < LIMIT


def test_fifty_concurrent_writers_lose_nothing(base: str, rendered: Make, run: Run) -> None:
    service = run(rendered(database=base))
    first = service.http.post(ORDERS, json=order("first"))

    async def write() -> tuple[list[int], list[int]]:
        limits = httpx2.Limits(max_connections=50)
        async with httpx2.AsyncClient(base_url=service.url, timeout=30, limits=limits) as http:
            placing = [http.post(ORDERS, json=order(f"order {number}")) for number in range(250)]
            placed = await asyncio.gather(*placing)
            headers = {"If-Match": first.headers["etag"]}
            where = first.headers["location"]
            changing = [http.put(where, json=order(f"changed {number}"), headers=headers) for number in range(50)]
            changed = await asyncio.gather(*changing)
        return [answer.status_code for answer in placed], [answer.status_code for answer in changed]

    placed, changed = asyncio.run(write())
    assert placed == [201] * 250
    assert sorted(changed) == [200] + [412] * 49
    assert service.http.get(ORDERS).json()["total"] == 251


def test_a_file_that_somebody_else_locks_is_a_503(rendered: Make, run: Run) -> None:
    service = run(rendered(), DATABASE__BUSY_TIMEOUT="0.5")
    with closing(connect(service.rendered.database.partition("///")[2], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        answer = service.http.post(ORDERS, json=order("one"))
        assert answer.status_code == 503
        assert time.monotonic() - started < LIMIT
        assert service.http.get(ORDERS).status_code == 200
        other.execute("ROLLBACK")
    assert service.http.post(ORDERS, json=order("one")).status_code == 201
