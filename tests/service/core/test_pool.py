"""the limit of the connections."""

import anyio
import anyio.lowlevel
import pytest

from app.core.data.pool import ConnectionLimiter
from app.core.database_errors import DatabaseBusy


async def test_the_gate_lets_in_first_who_came_first() -> None:
    limiter, order = ConnectionLimiter(1, 1.0), []

    async def enter(number: int) -> None:
        async with limiter:
            order.append(number)
            await anyio.sleep(0.001)

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(enter, number)
            await anyio.lowlevel.checkpoint()
    assert order == list(range(10))
    assert limiter.taken == 0


async def test_who_waits_too_long_is_told_that_the_database_is_busy() -> None:
    limiter = ConnectionLimiter(1, 0.01)
    async with limiter:
        with pytest.raises(DatabaseBusy):
            await limiter.__aenter__()
    async with limiter:
        assert limiter.taken == 1


async def test_who_goes_away_while_waiting_leaves_no_place_taken() -> None:
    limiter = ConnectionLimiter(1, 1.0)
    async with limiter:
        with anyio.move_on_after(0.01):
            await limiter.__aenter__()
        assert limiter.taken == 1
    async with limiter:
        assert limiter.taken == 1
