"""One circuit breaker for all processes: counted together, and probed by one call of all of them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.extensions.outbound import BreakerChanged, CallFailed, CircuitOpen
from app.extensions.outbound.breaker import Breaker, SharedBreaker
from app.extensions.outbound.guard import Failure, Guard
from app.extensions.outbound.settings import Policy
from tests.extensions.outbound.conftest import Connected
from tests.extensions.outbound.servers import Server

POLICY = Policy(failures=3, successes=2, recovery=60)
Open = Callable[..., SharedBreaker]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is never broken."""
    started = Server(tmp_path_factory.mktemp("storage"))
    yield started
    started.kill()


@pytest.fixture
def gates(storages: Connected, shared_server: Server, request: pytest.FixtureRequest) -> Open:
    """`gates()`: the gate of one more process before one service, which no other test calls."""

    def make(policy: Policy = POLICY, timeout: float = 10.0) -> SharedBreaker:
        return SharedBreaker(Breaker(request.node.name, policy), policy, storages(shared_server, timeout))

    return make


async def end(gate: SharedBreaker, *outcomes: bool) -> None:
    """Calls that end so, one after another."""
    for succeeded in outcomes:
        await gate.settle(await gate.admit(), succeeded)


async def opened(gate: SharedBreaker) -> None:
    """Open it, and let its time pass."""
    await end(gate, False, False, False)
    await pass_time(gate)


async def pass_time(gate: SharedBreaker) -> None:
    """Have what has begun last, an outage or a probe, begin long ago."""
    assert gate._storage
    await gate._storage.client._client.hset(gate._key, "next", "1")


async def attempted(gate: SharedBreaker) -> Any:
    """What comes of asking."""
    try:
        return await gate.admit()
    except CircuitOpen as refused:
        return refused


async def test_failures_in_a_row_are_counted_over_all_processes(gates: Open, told: list[Any]) -> None:
    one, other = gates(), gates()
    await end(one, False, False)
    await end(other, True)
    await end(one, False)
    await end(other, False)
    assert {await one.look(), await other.look()} == {"closed"}
    await end(one, False)
    for gate in (one, other):
        with pytest.raises(CircuitOpen) as refused:
            await gate.admit()
        assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
        assert gate.own.state == "open"
    assert [event.state for event in told] == ["open", "open"]  # each process tells what it sees


async def test_of_50_calls_in_each_of_two_processes_exactly_one_probes(gates: Open) -> None:
    both = [gates(), gates()]
    await opened(both[0])
    tried = await asyncio.gather(*(attempted(both[n % 2]) for n in range(100)))
    assert sum(isinstance(each, CircuitOpen) for each in tried) == 99


async def test_so_many_successes_over_all_processes_close_it(gates: Open, told: list[Any]) -> None:
    one, other = gates(), gates()
    await opened(one)
    await end(one, True)
    assert await other.look() == "half_open"
    await end(other, True)
    assert [await one.look(), await other.look()] == ["closed", "closed"]
    service = one.own.service
    assert told[-1] == BreakerChanged(service, "closed")
    await end(one, False, False)
    assert await one.look() == "closed"


async def test_a_failed_probe_opens_it_for_all_again(gates: Open) -> None:
    one, other = gates(), gates()
    await opened(one)
    await end(one, True)
    await end(other, False)
    assert isinstance(await attempted(one), CircuitOpen)


async def test_a_probe_that_was_given_up_makes_way_for_another(gates: Open) -> None:
    one, other = gates(), gates()
    await opened(one)
    await one.settle(await one.admit(), None)
    async with asyncio.timeout(10):
        while isinstance(await attempted(other), CircuitOpen):  # noqa: ASYNC110  # no event to wait for
            await asyncio.sleep(0.01)
    assert isinstance(await attempted(one), CircuitOpen)


async def test_a_probe_whose_process_was_killed_makes_way_when_its_time_is_over(gates: Open) -> None:
    lost, other = gates(), gates()
    await opened(lost)
    late = await lost.admit()
    assert isinstance(await attempted(other), CircuitOpen)
    await pass_time(other)
    await other.admit()
    await lost.settle(late, succeeded=True)  # it was frozen, not killed: its news is no longer awaited
    assert await other.look() == "half_open"
    assert isinstance(await attempted(lost), CircuitOpen)


async def test_what_began_before_the_change_is_no_news_after_it(gates: Open) -> None:
    one, other = gates(), gates()
    late = [await one.admit() for _ in range(3)]
    await opened(other)
    probe = await other.admit()
    for admission, succeeded in zip(late, (True, False, None), strict=True):
        await one.settle(admission, succeeded)
    assert isinstance(await attempted(one), CircuitOpen)
    await other.settle(probe, succeeded=True)
    assert await one.look() == "half_open"


def judge(_: Exception) -> Failure:
    """Whatever it is, the service has failed."""
    return Failure("broken")


async def test_threads_share_it_too(storages: Connected, shared_server: Server) -> None:
    policy = Policy(failures=3, successes=1, recovery=60)
    one, other = (Guard("threads", policy, storages(shared_server)) for _ in range(2))
    calls: list[int] = []

    def ask(fails: bool) -> str:
        calls.append(1)
        time.sleep(0.5 if not fails else 0)
        if fails:
            raise OSError
        return "answered"

    def outcome(guard: Guard, fails: bool) -> str:
        try:
            return guard.call_from_thread(lambda: ask(fails), method="ask", repeatable=False, judge=judge)
        except CallFailed as failed:
            return failed.reason

    assert [await asyncio.to_thread(outcome, guard, True) for guard in (one, other, one, other)] == [
        *["broken"] * 3,
        "CircuitOpen",
    ]
    await pass_time(one.breaker)
    calls.clear()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(50) as pool:
        tried = [loop.run_in_executor(pool, outcome, (one, other)[n % 2], False) for n in range(50)]
        assert sorted(await asyncio.gather(*tried)) == ["CircuitOpen"] * 49 + ["answered"]
    assert len(calls) == 1


async def test_a_function_that_blocks_the_loop_does_not_wait_for_itself(
    storages: Connected, shared_server: Server
) -> None:
    guard = Guard("blocking", POLICY, storages(shared_server))
    started = time.monotonic()
    assert guard.call_from_thread(lambda: 42, method="ask", repeatable=False, judge=judge) == 42
    assert time.monotonic() - started < 5
