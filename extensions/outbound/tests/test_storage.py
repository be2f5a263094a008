"""The storage of the circuit breakers goes away: each process has its own meanwhile, and no call suffers."""

import asyncio
import time

import pytest

from app.core.errors import ConfigurationInvalid
from app.core.settings import load
from app.extensions.outbound import OutboundSettings
from app.extensions.outbound.breaker import Breaker, SharedBreaker
from app.extensions.outbound.settings import Policy
from tests.conftest import Start
from tests.extensions.outbound.conftest import Connected
from tests.extensions.outbound.other import Other
from tests.extensions.outbound.servers import Server
from tests.extensions.outbound.test_service import calling, settings


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_without_the_storage_each_process_goes_on_with_its_own(
    start: Start, other: Other, server: Server, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    mine = {**settings(other, recovery=60), "storage_url": server.url}
    client = await start(outbound=mine, extra=[calling()])
    assert (await client.get("/call")).status_code == 200
    getattr(server, how)()
    started = time.monotonic()
    answers = await asyncio.gather(*(client.get("/call") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    other.statuses = [500]
    codes = [(await client.get("/call")).json()["code"] for _ in range(20)]
    assert codes == ["call_failed"] * 2 + ["circuit_open"] * 18
    assert (await client.get("/health")).json()["parts"]["outbound"]["status"] == "failed"
    assert time.monotonic() - started < 10
    other.statuses = [200]
    server.start() if how == "kill" else server.thaw()
    async with asyncio.timeout(10):
        while (await client.get("/call")).status_code != 200:  # noqa: ASYNC110  # all the others saw no failure
            await asyncio.sleep(0.1)
    said = [record.getMessage().partition(":")[0] for record in caplog.records if "storage" in record.getMessage()]
    assert said == [
        "the storage of the circuit breakers does not answer",
        "the storage of the circuit breakers answers again",
    ]


async def test_it_starts_without_the_storage(start: Start, other: Other, server: Server) -> None:
    server.kill()
    client = await start(outbound={**settings(other), "storage_url": server.url}, extra=[calling()])
    assert (await client.get("/call")).status_code == 200


async def test_a_call_whose_end_nobody_takes_down_counts_here(storages: Connected, server: Server) -> None:
    policy = Policy(failures=1)
    gate = SharedBreaker(Breaker("billing", policy), policy, storages(server))
    admission = await gate.admit()
    server.kill()
    await gate.settle(admission, succeeded=False)
    assert gate.own.state == "open"


@pytest.mark.parametrize("url", ["billing", "http://host/0", "redis://", "redis://host:0/0"])
def test_a_wrong_address_of_the_storage_stops_the_start(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OUTBOUND__STORAGE_URL", url)
    with pytest.raises(ConfigurationInvalid, match="OUTBOUND__STORAGE_URL: has to look like redis://"):
        load([OutboundSettings], env_file=None)
