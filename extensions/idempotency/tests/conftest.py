"""Fixtures of the keys' tests: a slice that counts its deeds in the database."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import text

from app.core import context
from app.core.component import Component, State
from app.core.database import DatabaseDep, DatabaseUnreachable
from app.core.errors import AuthenticationFailed, BusinessRuleViolated, ServiceUnavailable
from app.core.schema import Schema
from app.core.telemetry import QueryFinished, listening
from app.core.versioning import versioned
from tests.conftest import NewDatabase

router = versioned("deeds")
plain = APIRouter(prefix="/api/v1/deeds")
FAILED: list[object] = []


class Deed(Schema):
    """Something to do."""

    name: str
    seconds: float = 0.0
    size: int = 0


async def authenticated(x_api_key: Annotated[str, Header()] = "") -> None:
    """Stands for any authentication: it is a dependency, and tells the context who calls."""
    request = context.current()
    if x_api_key.startswith("wrong") or request is None:
        raise AuthenticationFailed
    request.principal = x_api_key.partition(" ")[0] or None


async def make_room() -> None:
    """Let this request have a larger body than others."""
    if request := context.current():
        request.body_limit = 50_000_000


async def count(database: DatabaseDep, name: str) -> int:
    """Do it."""
    async with database.transaction() as session:
        await session.execute(text("INSERT INTO test_deeds (name) VALUES (:name)"), {"name": name})
        found: int = await session.scalar(text("SELECT count(*) FROM test_deeds WHERE name = :name"), {"name": name})
    return found


@router.post("", status_code=201)
@router.post("/mine", status_code=201, dependencies=[Depends(authenticated)])
@router.put("/put")
async def do(deed: Deed, database: DatabaseDep, response: Response) -> dict[str, Any]:
    """Do it, and tell how often it has been done."""
    times = await count(database, deed.name)
    await asyncio.sleep(deed.seconds)
    response.headers["Location"] = f"/api/v1/deeds/{times}"
    response.headers["ETag"] = f'"{times}"'
    response.set_cookie("session", "secret")
    return {"times": times, "filling": "x" * deed.size}


@router.post("/slow-start")
async def start_slowly(deed: Deed, database: DatabaseDep) -> int:
    """Take some time before it is done."""
    await asyncio.sleep(deed.seconds)
    return await count(database, deed.name)


@router.post("/rule")
async def break_a_rule(database: DatabaseDep) -> None:
    """Do it, then find that it is forbidden."""
    times = await count(database, "rule")
    raise BusinessRuleViolated(f"attempt {times}")


@router.post("/fail")
async def fail(deed: Deed, database: DatabaseDep) -> int:
    """Fail before anything is done, the first time."""
    if not FAILED:
        FAILED.append(deed)
        raise RuntimeError("the first time fails")
    return await count(database, deed.name)


@router.post("/unavailable")
async def be_unavailable() -> str:
    """Be unavailable, the first time."""
    if not FAILED:
        FAILED.append("unavailable")
        raise ServiceUnavailable
    return "done"


@router.post("/away")
async def lose_the_database() -> None:
    """Find the database gone, before anything is done."""
    raise DatabaseUnreachable


@router.post("/fail-late")
async def fail_late(database: DatabaseDep) -> int:
    """Fail after it is done."""
    await count(database, "late")
    raise RuntimeError("too late")


@router.post("/sync")
def do_in_a_thread(deed: Deed) -> str:
    """An endpoint without async."""
    return deed.name


@router.post("/stream")
async def stream(request: Request, database: DatabaseDep) -> StreamingResponse:
    """Read the body by oneself, and answer in parts."""
    times = await count(database, "stream")
    received = [part async for part in request.stream()]

    async def parts() -> AsyncIterator[bytes]:
        yield str(times).encode()
        for part in received:
            yield part

    return StreamingResponse(parts())


@router.post("/large")
async def take_more(request: Request, database: DatabaseDep, _: Annotated[None, Depends(make_room)]) -> str:
    """Read a larger body than others by oneself."""
    await count(database, "large")
    return hashlib.sha256(b"".join([part async for part in request.stream()])).hexdigest()


@router.post("/momentary/{status}")
async def be_in_the_way(status: int, database: DatabaseDep, late: bool = False) -> int:
    """Refuse it the first time, before anything is done or after it."""
    if late or FAILED:
        times = await count(database, "momentary")
    if not FAILED:
        FAILED.append(status)
        raise HTTPException(status)
    return times


@plain.post("/plain")
async def do_plainly(deed: Deed, database: DatabaseDep) -> int:
    """Do it, in a route of FastAPI's own router."""
    return await count(database, deed.name)


@plain.post("/lines")
async def tell_in_lines(database: DatabaseDep) -> AsyncIterator[int]:
    """Do it, and answer line by line."""
    yield await count(database, "lines")


@router.get("/read")
async def read(database: DatabaseDep) -> int:
    """Keys mean nothing here."""
    return await count(database, "read")


@pytest.fixture
def database_url(new_database: NewDatabase) -> Iterator[str]:
    """A database of the test's own: keys are rows, and all tests use the same ones."""
    with new_database() as url:
        yield url


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """The statements that have been run."""
    seen: list[str] = []
    with listening(QueryFinished, lambda event: seen.append(event.statement)):
        yield seen


@pytest.fixture
def deeds() -> Component:
    """The slice, with its table."""

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        async with state["database"].engine.begin() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS test_deeds (name VARCHAR(100))"))
        FAILED.clear()
        yield {}

    return Component(name="deeds", routers=[router, plain], lifespan=lifespan)
