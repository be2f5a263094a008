"""The last statements of the transactions of a request."""

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

router = Router(prefix="/endpoints")


@router.post("/writing")
async def write(database: DatabaseDep) -> None:
    """Write, in two transactions."""
    for name in ("second", "third"):
        async with database.transaction() as session:
            session.add(Thing(name=name))


@router.get("/things")
async def read_all(database: DatabaseDep) -> dict[str, int]:
    """Return the amount of each thing."""
    async with database.read() as connection:
        rows = await connection.execute(select(Thing.name, Thing.amount))
    return {row.name: row.amount for row in rows}


async def last(session: AsyncSession) -> None:
    """Count each transaction, and refuse the second."""
    await session.execute(update(Thing).where(Thing.name == "first").values(amount=Thing.amount + 1))
    if await session.scalar(select(Thing.amount).where(Thing.name == "first")) == 3:
        raise Conflict


class BeforeCommit:
    """Adds the last statements to each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if request := context.current():
            request.before_commit.append(last)
        await self.app(scope, receive, send)


async def test_the_last_statements_of_a_transaction_are_committed_with_it_or_refuse_it(start: Start) -> None:
    before_commit = Component(name="before_commit", middleware=[Middleware(BeforeCommit)])
    client = await start(extra=[things.component(router), before_commit])
    assert (await client.post("/endpoints/writing")).status_code == 409  # refused at the second of two transactions
    assert (await client.get("/endpoints/things")).json() == {"first": 2, "second": 0}
