"""Metrics of requests and events: the counts, their labels, and what is not counted."""

import re
import time
from typing import NamedTuple

import anyio
import httpx2
import pytest
from fastapi import APIRouter, WebSocket
from websockets.asyncio.client import connect

from app.core import telemetry
from app.core.component import Component
from app.core.database import DatabaseDep
from app.core.telemetry import BusinessEvent, SecurityEvent, describe
from app.extensions.prometheus import TokensUsed
from tests.conftest import Serve, Start
from tests.core.sockets import serving
from tests.extensions.prometheus.scraping import scrape, scrape_until


class Baked(NamedTuple):
    """An event of another extension, which describes its metrics."""

    cake: str
    duration: float

    @property
    def level(self) -> int:
        """Return a number for the gauge."""
        return len(self.cake)


@pytest.fixture(autouse=True)
def baked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Describe the event before the service starts."""
    monkeypatch.setattr(telemetry, "_descriptions", dict(telemetry._descriptions))
    describe(
        Baked,
        counter=("cakes_total", "Cakes.", {"kind": "cake"}),
        histogram=("cake_duration_seconds", "Time of a cake.", {"kind": "cake"}, (1.0, 2.0)),
        gauge=("cake_level", "Level of a cake.", {"kind": "cake"}),
    )


def thing() -> Component:
    """Routes to ask for."""
    router = APIRouter(prefix="/things")

    @router.websocket("/{number}/live")
    async def live(websocket: WebSocket, number: int) -> None:
        await websocket.accept()
        await websocket.receive_text()
        await websocket.close(4000 + number)

    router.get("/{number}")(lambda number: {"number": number})
    router.post("/")(lambda: "made")
    return Component(name="things", routers=[router])


async def test_a_request_is_counted_by_method_route_template_and_status(start: Start) -> None:
    client = await start(extra=[thing()])
    for number in range(5):
        await client.get(f"/things/{number}")
    await client.post("/things/", content=b"12345")
    found = await scrape(client)
    labels = {"method": "GET", "route": "/things/{number}", "status": "200"}
    assert found.total("http_requests_total", **labels) == 5
    assert found.total("http_request_duration_seconds_count", **labels) == 5
    assert 0 < found.total("http_request_duration_seconds_sum", **labels) < 5
    assert found.total("http_request_bytes_total", **labels) == 0
    assert found.total("http_response_bytes_total", **labels) == 5 * len('{"number":"1"}')
    assert found.total("http_requests_total", method="POST", route="/things/", status="200") == 1


async def test_paths_without_a_route_share_one_series(client: httpx2.AsyncClient) -> None:
    for number in range(20):
        await client.get(f"/nothing/{number}")
    found = await scrape(client)
    assert found.total("http_requests_total", method="GET", route="unmatched", status="404") == 20
    assert not [one for one in found.samples if "nothing" in str(one.labels)]


async def test_methods_that_nobody_knows_share_one_series(client: httpx2.AsyncClient) -> None:
    for number in range(20):
        await client.request(f"BREW{number}", "/nothing")
    found = await scrape(client)
    assert found.values("http_requests_total", "method") == {"other"}
    assert found.total("http_requests_total", method="other") == 20


async def test_probes_and_scrapes_are_not_counted(client: httpx2.AsyncClient) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/health/startup", "/metrics"):
        await client.get(path)
        await client.post(path)
    found = await scrape(client)
    assert found.total("http_requests_total") == 0
    assert found.total("http_requests_in_flight") == 0


async def test_requests_in_flight_are_those_that_are_being_served(start: Start) -> None:
    release, router = anyio.Event(), APIRouter()

    @router.get("/slow")
    async def slow() -> None:
        await release.wait()

    client = await start(extra=[Component(name="slow", routers=[router])])
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(client.get, "/slow")
        await scrape_until(client, "http_requests_in_flight", 3)
        release.set()
    assert (await scrape(client)).total("http_requests_in_flight") == 0


async def test_a_refused_host_leaves_nothing_in_flight(start: Start) -> None:
    client = await start(http={"trusted_hosts": ["service"]})
    for path in ("/health", "/nothing"):
        assert (await client.get(path, headers={"Host": "elsewhere"})).status_code == 400
    found = await scrape(client)
    assert found.total("http_requests_in_flight") == 0
    assert found.total("http_requests_total", status="400") == 1


async def test_statements_are_timed_by_their_first_word(client: httpx2.AsyncClient) -> None:
    before = (await scrape(client)).total("database_query_duration_seconds_count", operation="SELECT")
    telemetry.emit(telemetry.QueryFinished("SELECT", 0.2, "SELECT 1"))
    found = await scrape(client)
    assert found.total("database_query_duration_seconds_count", operation="SELECT") == before + 1
    assert found.total("database_query_duration_seconds_bucket", operation="SELECT", le="0.1") == before


async def test_the_pool_is_seen_while_connections_are_out(start: Start) -> None:
    taken, release, router = anyio.Event(), anyio.Event(), APIRouter()

    @router.get("/hold")
    async def hold(database: DatabaseDep) -> None:
        async with database.read():
            taken.set()
            await release.wait()

    client = await start(
        extra=[Component(name="hold", routers=[router])],
        database={"pool_size": 1, "pool_overflow": 0, "pool_timeout": 30},
    )
    async with anyio.create_task_group() as group:
        group.start_soon(client.get, "/hold")
        await taken.wait()
        group.start_soon(client.get, "/hold")
        found = await scrape_until(client, "database_pool_waiting", 1)
        release.set()
    pool = {name: found.total(f"database_pool_{name}") for name in ("limit", "size", "checked_out", "overflow")}
    places = pool.pop("limit")
    assert pool == {"size": places, "checked_out": 1, "overflow": 0}
    assert (await scrape(client)).total("database_pool_checked_out") == 0


async def test_every_other_event_feeds_its_families(start: Start) -> None:
    client = await start()
    for event in (
        Baked("plum", 1.5),
        TokensUsed("large", prompt_tokens=100, completion_tokens=20, cost=0.5),
        BusinessEvent("order_shipped", subject="1"),
        SecurityEvent("authentication_failed"),
    ):
        telemetry.emit(event)
    found = await scrape(client)
    assert found.total("cakes_total", kind="plum") == 1
    assert found.total("cake_duration_seconds_sum", kind="plum") == 1.5
    assert found.total("cake_duration_seconds_bucket", kind="plum", le="2.0") == 1
    assert found.total("cake_level", kind="plum") == 4
    assert found.total("model_tokens_total", model="large", kind="prompt") == 100
    assert found.total("model_tokens_total", model="large", kind="completion") == 20
    assert found.total("model_cost_dollars_total", model="large") == 0.5
    assert found.total("business_events_total", event="order_shipped") == 1
    assert found.total("security_events_total", event="authentication_failed") == 1


async def test_names_without_end_do_not_make_series_without_end(start: Start) -> None:
    client = await start()
    for number in range(1000):
        telemetry.emit(BusinessEvent(f"order_{number}_shipped"))
        telemetry.emit(Baked(f"cake-{number}", 0.001))
    found = await scrape(client)
    assert len(found.values("business_events_total", "event")) == 101
    assert found.total("business_events_total", event="other") == 900
    assert found.total("cakes_total", kind="other") == 900


async def test_the_build_and_the_process_are_told(start: Start) -> None:
    found = await scrape(await start(service={"version": "1.2.3"}))
    assert found.total("build_info", version="1.2.3") == 1
    assert found.total("process_start_time_seconds") > 0


async def test_a_label_never_has_a_name_that_the_scraper_sets_itself(client: httpx2.AsyncClient) -> None:
    names = {name for one in (await scrape(client)).samples for name in one.labels}
    assert not names & {"job", "instance", "service", "namespace", "pod", "container", "endpoint"}


@pytest.mark.parametrize("accept", ["", "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"])
async def test_the_families_are_told_in_the_format_that_is_asked_for(client: httpx2.AsyncClient, accept: str) -> None:
    await client.get("/nothing")
    answer = await client.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith(accept.split(";")[0] or "text/plain")
    assert answer.text.endswith("# EOF\n") is accept.startswith("application/openmetrics-text")
    assert len(re.findall("^# TYPE ", answer.text, re.MULTILINE)) >= 25
    assert "_created" not in answer.text


async def test_code_that_holds_the_event_loop_shows_as_its_lag(start: Start) -> None:
    router = APIRouter()

    @router.get("/hold")
    async def hold() -> None:
        time.sleep(0.4)  # noqa: ASYNC251  # as a careless route does

    client = await start(extra=[Component(name="hold", routers=[router])])
    await scrape_until(client, "event_loop_lag_seconds_count", 1)
    before = (await scrape(client)).total("event_loop_lag_seconds_sum")
    await client.get("/hold")
    await scrape_until(client, "event_loop_lag_seconds_sum", before + 0.25)


async def test_open_and_closed_websockets_are_counted(serve: Serve) -> None:
    app = await serve(extra=[thing()])
    transport = httpx2.ASGITransport(app, client=("127.0.0.1", 123))
    client = httpx2.AsyncClient(transport=transport, base_url="http://service")
    async with serving(app) as url, connect(f"{url}/things/7/live") as one, connect(f"{url}/things/7/live"):
        metrics = await scrape(client)
        assert metrics.total("websockets_open") == 2
        assert metrics.total("http_requests_in_flight") == 0
        await one.send("end")
        await one.wait_closed()
        metrics = await scrape(client)
        assert metrics.total("websockets_open") == 1
        assert metrics.total("websockets_closed_total", code="4007", route="/things/{number}/live") == 1
        assert metrics.total("http_requests_total", status="101", route="/things/{number}/live") == 2
