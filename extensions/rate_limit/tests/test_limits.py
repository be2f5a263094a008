"""The limits as callers meet them."""

import asyncio
from collections.abc import Iterator

import httpx2
import pytest
from fastapi import APIRouter, WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.core.component import Component
from app.core.telemetry import SecurityEvent, listening
from app.extensions.rate_limit import limited
from tests.conftest import Serve, Start
from tests.core.sockets import serving
from tests.extensions.rate_limit.conftest import KEYS

pytestmark = pytest.mark.anyio
THING = "/limits/things/1"
ON = {"enabled": True}
FEW = {**ON, "per_minute": 3}


async def statuses(client: httpx2.AsyncClient, path: str = THING, times: int = 5, **headers: str) -> list[int]:
    """Send so many requests, one after another, and return the statuses."""
    return [(await client.get(path, headers=headers)).status_code for _ in range(times)]


@pytest.fixture
def refused() -> Iterator[list[SecurityEvent]]:
    """The security events."""
    seen: list[SecurityEvent] = []
    with listening(SecurityEvent, seen.append):
        yield seen


async def test_sixty_a_minute_pass_unless_told_otherwise(start: Start, things: Component) -> None:
    client = await start(extra=[things], rate_limit=ON)
    answers = await asyncio.gather(*(client.get(THING) for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [200] * 60 + [429] * 40


async def test_a_refusal_is_a_problem_that_says_when_to_come_again(
    start: Start, things: Component, refused: list[SecurityEvent]
) -> None:
    client = await start(extra=[things], rate_limit=FEW)
    assert await statuses(client, times=3) == [200] * 3
    answer = await client.get(THING)
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "rate_limited"
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert answer.headers["x-correlation-id"] == answer.json()["correlation_id"]
    assert refused == [SecurityEvent("rate_limited", subject="address 127.0.0.1", reason="3;w=60, 1000;w=3600")]


async def test_every_answer_says_what_is_left(start: Start, things: Component) -> None:
    client = await start(extra=[things], rate_limit=FEW)
    left = []
    for path in (THING, "/nothing/here", THING, THING):
        answer = await client.get(path)
        assert answer.headers["ratelimit-limit"] == "3"
        assert 1 <= int(answer.headers["ratelimit-reset"]) <= 60
        assert answer.headers["ratelimit-policy"] == "3;w=60, 1000;w=3600"
        left.append((answer.status_code, answer.headers["ratelimit-remaining"]))
    assert left == [(200, "2"), (404, "1"), (200, "0"), (429, "0")]


async def test_routes_of_included_routers_are_limited(start: Start, things: Component) -> None:
    client = await start(extra=[things], rate_limit=FEW)
    assert await statuses(client, "/limits/nested/things/1") == [200] * 3 + [429] * 2
    assert await statuses(client, times=1) == [429]


async def test_a_route_may_have_a_limit_of_its_own_or_none(start: Start, things: Component) -> None:
    client = await start(extra=[things], rate_limit=FEW)
    assert await statuses(client, "/limits/dear/1", times=2) == [200] * 2
    assert await statuses(client, "/limits/dear/2", times=2) == [429] * 2  # the route counts, not the path
    assert (await client.get("/limits/dear/plain")).headers["ratelimit-limit"] == "3"
    assert await statuses(client, "/limits/dear/free", times=9) == [200] * 9
    assert "ratelimit-limit" not in (await client.get("/limits/dear/free")).headers
    answers = [(await client.post("/limits/dear/1")).status_code for _ in range(3)]
    assert answers == [200] * 2 + [429]  # another method of that path is another route


async def test_health_and_metrics_are_not_counted(start: Start, things: Component) -> None:
    client = await start(extra=[things], rate_limit=FEW)
    for path in ("/health/live", "/health/ready", "/health/startup", "/metrics"):
        assert 429 not in await statuses(client, path)
        assert "ratelimit-limit" not in (await client.get(path)).headers
    assert await statuses(client, times=4) == [200] * 3 + [429]
    for path in ("/healthy", "/health/live/x", "/health/" + "x" * 60_000, "/metrics/x"):
        assert await statuses(client, path, times=1) == [429]


async def test_what_is_below_a_path_may_be_exempt(start: Start, things: Component) -> None:
    client = await start(extra=[things], rate_limit={**FEW, "exempt": "/limits/dear/*"})
    assert await statuses(client, "/limits/dear/plain") == [200] * 5


async def test_guesses_of_the_health_key_are_counted_and_told(
    start: Start, things: Component, refused: list[SecurityEvent]
) -> None:
    transport = (await start(extra=[things], rate_limit=FEW, health={"key": "k" * 32}))._transport
    assert isinstance(transport, httpx2.ASGITransport)
    public = httpx2.ASGITransport(transport.app, client=("8.8.8.8", 1))
    async with httpx2.AsyncClient(transport=public, base_url="http://service") as client:
        found = [await statuses(client, "/health", 1, **{"X-Health-Key": f"guess {n}"}) for n in range(5)]
    assert found == [[401]] * 3 + [[429]] * 2
    assert [event.name for event in refused] == ["authentication_failed"] * 3 + ["rate_limited"] * 2


async def test_each_address_is_counted_for_itself(start: Start, things: Component) -> None:
    transport = (await start(extra=[things], rate_limit=FEW))._transport
    assert isinstance(transport, httpx2.ASGITransport)

    async def ask(address: str, times: int) -> list[int]:
        other = httpx2.ASGITransport(transport.app, client=(address, 1))
        async with httpx2.AsyncClient(transport=other, base_url="http://service") as client:
            return await statuses(client, times=times)

    assert await ask("203.0.113.1", 4) == [200] * 3 + [429]
    assert await ask("203.0.113.2", 1) == [200]
    assert await ask("2001:db8:1:2::1", 3) == [200] * 3
    assert await ask("2001:db8:1:2:ffff::9", 1) == [429]  # the same /64 is the same caller
    assert await ask("2001:db8:1:3::1", 1) == [200]
    assert [await ask(f"::ffff:203.0.113.{number}", 1) for number in range(3, 9)] == [[200]] * 6
    assert await ask("::ffff:203.0.113.1", 1) == [429]  # the IPv4 address above
    assert await ask("fe80::1%eth0", 1) == [200]
    assert await ask("", 1) == [200]


async def test_each_key_is_counted_for_itself_once_it_was_found_right(start: Start, things: Component) -> None:
    client = await start(extra=[things], rate_limit=FEW)
    path = "/limits/mine"
    assert await statuses(client, path, 4, **{"X-API-Key": "right"}) == [200] * 3 + [429]
    assert await statuses(client, path, 4, **{"X-API-Key": "right too"}) == [200] * 3 + [429]
    # Of all these only the first with each key counted for the address.
    assert await statuses(client) == [200, 429, 429, 429, 429]


async def test_a_key_that_is_revoked_counts_for_the_address_again(
    start: Start, things: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await start(extra=[things], rate_limit=FEW)

    async def left() -> tuple[int, str]:
        answer = await client.get("/limits/mine", headers={"X-API-Key": "right"})
        return answer.status_code, answer.headers["ratelimit-remaining"]

    assert await left() == (200, "2")  # of the address, and then one of the owner
    monkeypatch.delitem(KEYS, "right")
    assert await left() == (401, "1")  # of the owner
    assert await left() == (401, "1")  # of the address


async def test_wrong_keys_count_for_the_address(start: Start, things: Component, refused: list[SecurityEvent]) -> None:
    client = await start(extra=[things], rate_limit=FEW)
    found = [(await statuses(client, "/limits/mine", 1, **{"X-API-Key": f"guess {n}"}))[0] for n in range(5)]
    assert found == [401] * 3 + [429] * 2
    assert {event.subject for event in refused if event.name == "rate_limited"} == {"address 127.0.0.1"}


@pytest.mark.parametrize("off", [{"enabled": False}, {"enabled": None}])
async def test_the_limits_may_be_off_and_are_in_tests(start: Start, things: Component, off: dict[str, None]) -> None:
    client = await start(extra=[things], rate_limit={**FEW, **off})
    assert await statuses(client) == [200] * 5


async def test_a_preflight_is_not_counted(start: Start, things: Component) -> None:
    client = await start(extra=[things], rate_limit=FEW, http={"cors_origins": "https://shop.example"})
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    for _ in range(5):
        assert (await client.options(THING, headers=asked)).status_code == 200
    assert await statuses(client, times=4, Origin="https://shop.example") == [200] * 3 + [429]


async def test_a_websocket_is_counted_when_it_connects(serve: Serve) -> None:
    router = APIRouter()

    @router.get("/live")
    @limited(per_minute=1)
    async def read() -> None:
        """Share the path, and no counter."""

    @router.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()

    @router.websocket("/dear")
    @limited(per_minute=1)
    async def dear(websocket: WebSocket) -> None:
        await websocket.accept()

    app = await serve(rate_limit=FEW, extra=[Component(name="live", routers=[router])])
    async with serving(app) as url:
        for path, times in (("/live", 3), ("/dear", 1)):
            for left in reversed(range(times)):
                async with connect(url + path) as socket:
                    assert socket.response
                    assert socket.response.headers["ratelimit-remaining"] == str(left)
            with pytest.raises(InvalidStatus) as raised:
                async with connect(url + path):
                    pass
            assert raised.value.response.status_code == 429
            assert int(raised.value.response.headers["retry-after"]) > 0
