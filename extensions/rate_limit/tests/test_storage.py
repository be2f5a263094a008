"""Counting for all processes together, and what happens while that is not possible."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest

from app.core.component import Component
from app.core.data.redis_client import BackendUnavailable
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings
from app.extensions.rate_limit.settings import RateLimitSettings
from app.extensions.rate_limit.windows import Limit, SharedCounters, count, limit
from tests.conftest import Start
from tests.extensions.rate_limit.servers import Server

pytestmark = pytest.mark.anyio
THING = "/limits/things/1"
BOTH = limit(60, 1000)


@pytest.fixture
async def shared(storage_url: str) -> AsyncIterator[SharedCounters]:
    """Counters that no other test uses."""
    opened = SharedCounters(RateLimitSettings(storage_url=storage_url, storage_timeout=10), uuid4().hex)
    yield opened
    await opened.client.close()


async def test_parallel_requests_are_counted_exactly(shared: SharedCounters) -> None:
    verdicts = await asyncio.gather(*(shared.hit("address 1", BOTH) for _ in range(200)))
    passed = [verdict for verdict in verdicts if not verdict.retry_after]
    assert sorted(verdict.remaining for verdict in passed) == list(range(60))


async def test_the_script_does_what_the_memory_does(shared: SharedCounters) -> None:
    own = Limit(((100_000, 5), (300_000, 9)))  # so long that the two clocks do not matter
    chance = random.Random(7)  # noqa: S311  # no secret
    passed = 0
    for client in range(300):
        counters: list[int] = []
        for seconds, quota in own.windows:
            index = int(time.time() // seconds) - chance.choice([0, 0, 1, 2])
            counters += [index, chance.randint(0, quota), chance.randint(0, quota)]
        await shared.client._client.set(f"{shared._namespace}:limit:{client}", " ".join(map(str, counters)))
        for _ in range(3):
            expected = count(counters, own.windows, time.time())
            found = await shared.hit(str(client), own)
            assert found.remaining == expected.remaining
            if found.place == expected.place:  # two windows may leave the same, and then the moment decides
                assert found.reset == pytest.approx(expected.reset, abs=1)
            assert found.retry_after == pytest.approx(expected.retry_after, abs=1)
            passed += not found.retry_after
    assert 100 < passed < 800


async def test_counters_do_not_stay_for_ever(shared: SharedCounters) -> None:
    await shared.hit("address 1", Limit(((1, 5),)))
    key = f"{shared._namespace}:limit:address 1"
    assert 0 < await shared.client._client.ttl(key) <= 2


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_without_the_storage_each_process_counts_for_itself(
    start: Start, things: Component, server: Server, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start(extra=[things], rate_limit={"enabled": True, "per_minute": 5, "storage_url": server.url})
    assert [(await client.get(THING)).status_code for _ in range(3)] == [200] * 3
    getattr(server, how)()
    started = time.perf_counter()
    answers = await asyncio.gather(*(client.get(THING) for _ in range(40)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 35
    assert time.perf_counter() - started < 8  # one after the other they would wait for 12
    started = time.perf_counter()
    for _ in range(50):
        assert (await client.get(THING)).status_code == 429
    assert time.perf_counter() - started < 10  # each would wait for 0.3, so 15 in all
    if how == "kill":
        server.start()
    else:
        server.thaw()
    async with asyncio.timeout(10):
        while (await client.get(THING)).status_code != 200:  # noqa: ASYNC110  # no event to wait for
            await asyncio.sleep(0.1)
    warnings = [record.getMessage() for record in caplog.records if "rate limit" in record.getMessage()]
    assert [message.partition(":")[0] for message in warnings] == [
        "the storage of the rate limit does not answer",
        "the storage of the rate limit answers again",
    ]


async def test_it_starts_without_the_storage(start: Start, things: Component, server: Server) -> None:
    server.kill()
    client = await start(extra=[things], rate_limit={"enabled": True, "per_minute": 2, "storage_url": server.url})
    assert [(await client.get(THING)).status_code for _ in range(3)] == [200, 200, 429]


async def test_a_storage_that_refuses_is_as_good_as_none(server: Server) -> None:
    shared = SharedCounters(RateLimitSettings(storage_url=server.url), "test")
    await shared.client._client.config_set("maxmemory", "1")
    with pytest.raises(BackendUnavailable):
        await shared.hit("address 1", BOTH)
    await shared.client.close()


def test_a_url_that_the_client_does_not_take_is_refused(configured: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        configured(rate_limit={"storage_url": "redis://:pa55@h/0?foo=bar"})
    (line,) = caught.value.mistakes
    assert line.startswith("RATE_LIMIT__STORAGE_URL: has the parameter foo")
    assert "pa55" not in line


def test_an_exempt_path_that_matches_nothing_is_refused(configured: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"'metrics' is no path: begin it with /"):
        configured(rate_limit={"exempt": "/health/live,metrics"})
