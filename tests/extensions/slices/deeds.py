"""A slice with a deed that takes its time before and after it is committed, and notes in a file that it began."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text

from app.core.component import Component, State
from app.core.database import DatabaseDep
from app.core.versioning import versioned

router = versioned("deeds")
BEGUN = Path(os.environ["DEEDS_FILE"])


def note(what: str) -> None:
    """Write it down for the test."""
    with BEGUN.open("a") as file:
        file.write(f"{what}\n")


@router.post("", status_code=201)
async def do(database: DatabaseDep, before: float = 0.0, after: float = 0.0) -> int:
    """Do it, and tell how often it has been done."""
    note("before")
    await asyncio.sleep(before)
    async with database.transaction() as session:
        await session.execute(text("INSERT INTO deeds (name) VALUES ('deed')"))
        times: int = await session.scalar(text("SELECT count(*) FROM deeds"))
    note("after")
    await asyncio.sleep(after)
    return times


@asynccontextmanager
async def lifespan(state: State) -> AsyncIterator[State]:
    """Make the table."""
    async with state["database"].engine.begin() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS deeds (name VARCHAR(10))"))
    yield {}


def component() -> Component:
    """Return the component of this slice."""
    return Component(name="deeds", routers=[router], lifespan=lifespan)
