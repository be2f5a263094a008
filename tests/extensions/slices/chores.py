"""A slice with jobs that note in a file when they begin and end, and a route that enqueues them."""

import asyncio
import logging
import os
from pathlib import Path

from app.core.component import Component, State
from app.core.database import DatabaseDep
from app.core.versioning import versioned
from app.extensions.worker import JobsDep, job, registry

logger = logging.getLogger(__name__)
router = versioned("chores")
NOTES = Path(os.environ["CHORES_FILE"])


def note(what: str) -> None:
    """Write it down for the test."""
    with NOTES.open("a") as file:
        file.write(f"{what}\n")


def begun(room: str) -> bool:
    """Return whether a caller has begun to clean a room."""
    return f"begin {room}" in NOTES.read_text().splitlines()


@job(delay=0.01)
async def clean(state: State, room: str, seconds: float, slowly: bool) -> None:
    """Take a while: with `slowly` an hour, unless another caller has begun before."""
    first = not begun(room)
    note(f"begin {room}")
    logger.info("cleaning", extra={"room": room, "open": "database" in state})
    await asyncio.sleep(3600 if slowly and first else seconds)
    note(f"end {room}")


if "CHORES_OLDER" in os.environ:  # a worker of the release before, which has no such job
    registry._declared.pop("clean")

if "CHORES_EVERY" in os.environ:

    @job(every=os.environ["CHORES_EVERY"])
    async def ring(_: State) -> None:
        """Begins by itself."""
        note("end ring")


@router.post("/{room}", status_code=202)
async def enqueue(room: str, database: DatabaseDep, jobs: JobsDep, seconds: float = 0.0, slowly: bool = False) -> None:
    """Have it cleaned."""
    async with database.transaction() as session:
        await jobs.enqueue(clean.later(room, seconds, slowly), key=room, within=session)


def component() -> Component:
    """Return the component of this slice."""
    return Component(name="chores", routers=[router])
