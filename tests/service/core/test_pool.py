"""The gate in front of the connections."""

import anyio
import anyio.lowlevel
import pytest

from app.core.data.pool import DatabaseBusy, Gate


async def test_the_gate_lets_in_first_who_came_first() -> None:
    gate, order = Gate(1, 1.0), []

    async def enter(number: int) -> None:
        async with gate:
            order.append(number)
            await anyio.sleep(0.001)

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(enter, number)
            await anyio.lowlevel.checkpoint()
    assert order == list(range(10))
    assert gate.taken == 0


async def test_who_waits_too_long_is_told_that_the_database_is_busy() -> None:
    gate = Gate(1, 0.01)
    async with gate:
        with pytest.raises(DatabaseBusy):
            await gate.__aenter__()
    async with gate:
        assert gate.taken == 1


async def test_who_goes_away_while_waiting_leaves_no_place_taken() -> None:
    gate = Gate(1, 1.0)
    async with gate:
        with anyio.move_on_after(0.01):
            await gate.__aenter__()
        assert gate.taken == 1
    async with gate:
        assert gate.taken == 1
