"""Endpoints of unsafe methods, and what a request has around them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core import context
from app.core.component import Component
from app.core.database import DatabaseDep
from app.core.errors import Conflict
from app.core.http.endpoints import Router
from tests.conftest import Start
from tests.core import things
from tests.core.things import Thing

pytestmark = pytest.mark.anyio
router = Router(prefix="/endpoints")
SEEN: list[str] = []


async def dependency() -> str:
    """Done before anything is around the endpoint."""
    SEEN.append("dependency")
    return "given"


@router.post("/waiting")
@router.put("/waiting")
async def waiting(given: Annotated[str, Depends(dependency)], number: int) -> dict[str, Any]:
    """With async."""
    SEEN.append("endpoint")
    return {"given": given, "number": number}


@router.delete("/threaded")
def threaded(number: int) -> int:
    """Without async."""
    SEEN.append("endpoint")
    return number


@router.get("/safe")
async def safe() -> None:
    """Changes nothing."""
    SEEN.append("endpoint")


@router.post("/lines")
async def lines() -> AsyncIterator[int]:
    """A stream."""
    yield 1


@router.post("/writing")
async def write(database: DatabaseDep) -> None:
    """Write, in two transactions."""
    for name in ("second", "third"):
        async with database.transaction() as session:
            session.add(Thing(name=name))


@router.get("/things")
async def read_all(database: DatabaseDep) -> dict[str, int]:
    """What there is."""
    async with database.read() as connection:
        rows = await connection.execute(select(Thing.name, Thing.amount))
    return {row.name: row.amount for row in rows}


class Around:
    """Puts something around each endpoint, and at the end of each transaction."""

    def __init__(self, app: ASGIApp, last: Callable[[AsyncSession], Awaitable[None]] | None = None) -> None:
        self.app = app
        self.last = last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = context.current()
        if scope["type"] == "http" and request is not None:
            request.around = self.around
            request.before_commit += [self.last] if self.last else []
        await self.app(scope, receive, send)

    async def around(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Note when."""
        SEEN.append("before")
        result = await call()
        SEEN.append("after")
        return result


REQUESTS = [
    ("POST", "waiting", ["dependency", "before", "endpoint", "after"]),
    ("PUT", "waiting", ["dependency", "before", "endpoint", "after"]),
    ("DELETE", "threaded", ["before", "endpoint", "after"]),
    ("GET", "safe", ["endpoint"]),
]


@pytest.mark.parametrize(("method", "path", "order"), REQUESTS)
async def test_it_is_called_around_the_endpoint_and_behind_its_dependencies(
    start: Start, method: str, path: str, order: list[str]
) -> None:
    client = await start(extra=[Component(name="around", routers=[router], middleware=[Middleware(Around)])])
    SEEN.clear()
    answer = await client.request(method, f"/endpoints/{path}", params={"number": 7})
    assert answer.status_code == 200
    assert order == SEEN


@pytest.mark.parametrize(("method", "path", "order"), REQUESTS)
async def test_without_it_an_endpoint_is_simply_called(start: Start, method: str, path: str, order: list[str]) -> None:
    client = await start(extra=[Component(name="around", routers=[router])])
    SEEN.clear()
    answer = await client.request(method, f"/endpoints/{path}", params={"number": 7})
    assert answer.json() == {"waiting": {"given": "given", "number": 7}, "threaded": 7, "safe": None}[path]
    assert [step for step in order if step in {"dependency", "endpoint"}] == SEEN


async def test_the_values_of_a_request_are_checked_as_ever(start: Start) -> None:
    client = await start(extra=[Component(name="around", routers=[router], middleware=[Middleware(Around)])])
    SEEN.clear()
    assert (await client.post("/endpoints/waiting", params={"number": "x"})).status_code == 422
    assert "before" not in SEEN


async def test_a_stream_has_nothing_around_it(start: Start) -> None:
    client = await start(extra=[Component(name="around", routers=[router], middleware=[Middleware(Around)])])
    SEEN.clear()
    assert (await client.post("/endpoints/lines")).text.strip() == "1"
    assert SEEN == []


async def test_the_last_words_of_a_transaction_are_committed_with_it_or_refuse_it(start: Start) -> None:
    async def last(session: AsyncSession) -> None:
        await session.execute(update(Thing).where(Thing.name == "first").values(amount=Thing.amount + 1))
        if await session.scalar(select(Thing.amount).where(Thing.name == "first")) == 3:
            raise Conflict

    around = Component(name="around", middleware=[Middleware(Around, last)])
    client = await start(extra=[things.component(router), around])
    assert (await client.post("/endpoints/writing")).status_code == 409  # refused at the second of two transactions
    assert (await client.get("/endpoints/things")).json() == {"first": 2, "second": 0}
