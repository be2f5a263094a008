"""A slice whose service does not learn, the first time, whether its COMMIT was carried out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from sqlalchemy import text

from app.core.component import Component, State
from app.core.database import Database, DatabaseDep
from app.core.errors import OutcomeUnknown
from app.core.versioning import versioned

router = versioned("outcomes")
LOST: list[asyncio.Task[int]] = []
WAITING = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


async def insert(database: Database, *, fail: bool = False) -> int:
    """Do it, and tell how often it has been done."""
    async with database.transaction(timeout=60) as session:
        await session.execute(text("INSERT INTO outcomes (name) VALUES ('outcome')"))
        times: int = await session.scalar(text("SELECT count(*) FROM outcomes"))
        if fail:
            raise OutcomeUnknown
    return times


@router.post("", status_code=201)
async def do(database: DatabaseDep, outcome: Literal["committed", "rolled back", "undecided"]) -> int:
    """Do it. The first time, the answer is that no one knows."""
    if LOST:
        return await insert(database)
    LOST.append(asyncio.create_task(insert(database, fail=outcome == "rolled back")))
    if outcome == "undecided":
        async with database.read() as connection:
            while not await connection.scalar(WAITING):  # noqa: ASYNC110  # no one could tell
                await asyncio.sleep(0.02)
    else:
        await asyncio.wait(LOST)
    raise OutcomeUnknown


@asynccontextmanager
async def lifespan(state: State) -> AsyncIterator[State]:
    """Make the table."""
    async with state["database"].engine.begin() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS outcomes (name VARCHAR(10))"))
    yield {}


def component() -> Component:
    """Return the component of this slice."""
    return Component(name="outcomes", routers=[router], lifespan=lifespan)
