"""Writes: committed before the answer leaves, and not at all on any error."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from fastapi import APIRouter, HTTPException
from sqlalchemy import delete, event, func, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.util import await_only

from app.core.component import Component, State
from app.core.database import Database, DatabaseDep
from app.core.errors import Conflict, ServiceUnavailable
from tests.conftest import Serve, Start
from tests.core import things
from tests.core.exchanges import exchange
from tests.core.things import Thing

ENDINGS: dict[str, Exception | None] = {
    "none": None,
    "ours": Conflict(),
    "fastapi's": HTTPException(404),
    "unexpected": RuntimeError("oh"),
}
router = APIRouter(prefix="/things")


@router.get("/count")
async def count(database: DatabaseDep) -> int:
    """Return the number of things."""
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(Thing)) or 0


@router.post("/{ending}")
async def add(ending: str, database: DatabaseDep, *, wait: float = 0.0) -> str:
    """Adds one, and ends so."""
    async with database.transaction() as session:
        session.add(Thing(name="second"))
        await session.flush()
        await anyio.sleep(wait)
        if error := ENDINGS[ending]:
            raise error
    return "added"


@router.put("/refused-at-the-commit")
async def add_a_loose_end(database: DatabaseDep) -> str:
    """Adds one that only the commit refuses."""
    async with database.transaction() as session:
        session.add(Thing(name="second", after_id=999))
        await session.flush()
    return "added"


@router.put("/in-part/{ending}")
async def add_in_part(ending: str, database: DatabaseDep, *, wait: float = 0.0) -> None:
    """Adds one, or refuses to, and fails to go on."""
    if ending == "stored":
        async with database.transaction() as session:
            session.add(Thing(name="second"))
    await anyio.sleep(wait)
    raise ServiceUnavailable


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    return await start(extra=[things.component(router)], http={"request_timeout": 1.5})


async def test_what_was_written_is_there_after_a_success(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/things/none")).status_code == 200
    assert (await client.get("/things/count")).json() == 2


@pytest.mark.parametrize(("ending", "status"), [("ours", 409), ("fastapi's", 404), ("unexpected", 500)])
async def test_nothing_is_written_after_an_error(client: httpx2.AsyncClient, ending: str, status: int) -> None:
    assert (await client.post(f"/things/{ending}")).status_code == status
    assert (await client.get("/things/count")).json() == 1
    assert (await client.post("/things/none")).status_code == 200


async def test_nothing_is_written_by_a_request_that_was_given_up(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/things/none", params={"wait": 9})).status_code == 503
    assert (await client.get("/things/count")).json() == 1
    assert (await client.post("/things/none")).status_code == 200


async def test_a_failing_commit_is_an_error_and_leaves_nothing(client: httpx2.AsyncClient) -> None:
    assert (await client.put("/things/refused-at-the-commit")).status_code == 422
    assert (await client.get("/things/count")).json() == 1
    assert (await client.post("/things/none")).status_code == 200


@pytest.mark.parametrize("wait", [0, 9])
@pytest.mark.parametrize(("ending", "status"), [("stored", 504), ("nothing", 503)])
async def test_nobody_is_told_to_try_again_what_is_stored_in_part(
    client: httpx2.AsyncClient, wait: float, ending: str, status: int
) -> None:
    answer = await client.put(f"/things/in-part/{ending}", params={"wait": wait})
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_the_answer_leaves_after_the_commit(serve: Serve) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def watch(state: State) -> AsyncIterator[State]:
        event.listen(state["database"].engine.sync_engine, "commit", lambda _: seen.append("commit"))
        yield {}

    app = await serve(extra=[things.component(router), Component(name="watch", lifespan=watch)])
    answer = await exchange(app, "/things/none", method="POST", on_send=lambda message: seen.append(message["type"]))
    assert answer.status == 200
    assert seen == ["commit", "http.response.start", "http.response.body"]


async def test_a_commit_that_has_begun_is_not_given_up(serve: Serve) -> None:
    opened: list[Database] = []
    app = await serve(extra=[things.component(router), things.keeping(opened)], http={"request_timeout": 0.3})
    event.listen(opened[0].engine.sync_engine, "commit", lambda _: await_only(anyio.sleep(0.8)))
    answer = await exchange(app, "/things/none", method="POST")
    assert (answer.status, answer.body) == (200, b'"added"')


@pytest.mark.parametrize(("ending", "count"), [("commit", 3), ("rollback", 2)])
async def test_a_block_may_end_its_transaction_itself_and_go_on(serve: Serve, ending: str, count: int) -> None:
    opened: list[Database] = []
    await serve(extra=[things.component(), things.keeping(opened)])
    async with opened[0].transaction() as session:
        session.add(Thing(name="second"))
        await session.flush()
        await getattr(session, ending)()
        session.add(Thing(name="third"))
    async with opened[0].read() as connection:
        assert await connection.scalar(select(func.count()).select_from(Thing)) == count


async def test_a_session_is_of_no_use_after_its_block(serve: Serve) -> None:
    opened: list[Database] = []
    await serve(extra=[things.component(), things.keeping(opened)])
    async with opened[0].transaction() as session:
        session.add(Thing(name="second"))
    with pytest.raises(InvalidRequestError, match="permanently closed"):
        session.add(Thing(name="third"))
    with pytest.raises(InvalidRequestError, match="permanently closed"):
        await session.execute(select(Thing.id))


async def test_a_snapshot_is_one_state_and_other_reads_are_not(serve: Serve) -> None:
    opened: list[Database] = []
    await serve(extra=[things.component(), things.keeping(opened)])
    (database,) = opened
    counting = select(func.count()).select_from(Thing)
    seen: list[int | None] = []
    async with database.read(snapshot=True) as still, database.read() as moving:
        seen += [await still.scalar(counting), await moving.scalar(counting)]
        async with database.transaction() as session:
            session.add(Thing(name="second"))
        seen += [await still.scalar(counting), await moving.scalar(counting)]
        with pytest.raises(RuntimeError, match="does not write"):
            await still.execute(delete(Thing))
    assert seen == [1, 1, 1, 2]
    async with database.read() as connection:
        assert await connection.scalar(counting) == 2


async def test_an_error_on_a_new_connection_leaves_nothing_open(client: httpx2.AsyncClient) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(3):  # as many connections as requests at once: some have never been used before
            group.start_soon(client.get, "/things/count")
            group.start_soon(client.post, "/things/ours")
    assert (await client.post("/things/none")).status_code == 200
    assert (await client.get("/things/count")).json() == 2
