"""Refusals of the database, as the caller is told: the status and the field, alike on every database."""

from typing import Any

import anyio
import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import delete, insert, text, update
from sqlalchemy.sql import Executable

from app.core.database import DatabaseDep
from tests.conftest import Start
from tests.core import things
from tests.core.conftest import Lines
from tests.core.things import Shelf, Thing

STATEMENTS: dict[str, tuple[Executable, int, str, list[str]]] = {
    "unique": (insert(Thing).values(name="first"), 409, "already_exists", ["name"]),
    "primary key": (insert(Thing).values(id=1, name="b"), 409, "already_exists", ["id"]),
    "foreign key": (insert(Thing).values(name="b", shelf_id=999), 422, "reference_unknown", ["shelf_id"]),
    "foreign key of a change": (update(Thing).values(shelf_id=999), 422, "reference_unknown", ["shelf_id"]),
    "still referred to": (delete(Shelf), 422, "reference_unknown", ["shelf_id"]),
    "not null": (insert(Thing).values(name=None), 422, "value_missing", ["name"]),
    "check": (insert(Thing).values(name="b", amount=-1), 422, "value_refused", ["amount"]),
    "check of a change": (update(Thing).values(amount=-1), 422, "value_refused", ["amount"]),
    "too large": (insert(Thing).values(name="b", amount=2**70), 422, "value_refused", []),
    "at the commit": (insert(Thing).values(name="b", after_id=999), 422, "reference_unknown", []),
    "a mistake of ours": (text("SELECT nothing FROM nowhere"), 500, "internal_error", []),
}
router = APIRouter(prefix="/things")


@router.post("/{name}")
async def run(name: str, database: DatabaseDep) -> str:
    """Runs a statement."""
    async with database.transaction() as session:
        await session.execute(STATEMENTS[name][0])
    return name


@router.put("/same-name")
async def change(database: DatabaseDep) -> str:
    """Adds a second thing of the same name, as the ORM does."""
    async with database.transaction() as session:
        session.add(Thing(name="first"))
    return "ok"


@router.delete("/stale")
async def change_what_has_changed(database: DatabaseDep) -> str:
    """Changes a thing that has been changed since it was read."""
    async with database.transaction() as session:
        thing = await session.get_one(Thing, 1)
        await session.execute(update(Thing).values(version=7).execution_options(synchronize_session=False))
        thing.name = "other"
    return "ok"


@router.get("/slow")
async def hold(database: DatabaseDep) -> str:
    """Holds a connection."""
    async with database.read():
        await anyio.sleep(0.3)
    return "ok"


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    pool = {"pool_size": 1, "pool_overflow": 0, "pool_timeout": 0.05}
    return await start(extra=[things.component(router)], database=pool, log={"format": "json"})


def code(answer: httpx2.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_refusal_has_its_status_and_names_the_field(client: httpx2.AsyncClient, name: str) -> None:
    _, status, meaning, fields = STATEMENTS[name]
    answer = await client.post(f"/things/{name}")
    assert code(answer) == (status, meaning)
    assert [error["field"] for error in answer.json()["errors"]] == fields or name == "at the commit"
    said = answer.text.replace(answer.json()["instance"], "").lower()
    assert not any(word in said for word in ("insert", "select", "test_things", "constraint"))


async def test_a_refusal_is_the_same_through_the_orm(client: httpx2.AsyncClient) -> None:
    answer = await client.put("/things/same-name")
    assert code(answer) == (409, "already_exists")
    assert answer.json()["errors"] == [{"field": "name", "message": "this value is taken", "code": "already_exists"}]


async def test_a_row_that_somebody_else_changed_is_412(client: httpx2.AsyncClient) -> None:
    assert code(await client.delete("/things/stale")) == (412, "precondition_failed")


async def test_a_full_pool_is_503_and_says_when_to_try_again(client: httpx2.AsyncClient) -> None:
    answers: list[httpx2.Response] = []

    async def ask() -> None:
        answers.append(await client.get("/things/slow"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        group.start_soon(ask)
    busy, served = answers
    assert (served.status_code, code(busy)) == (200, (503, "database_busy"))
    assert busy.headers["retry-after"] == "1"
    assert (await client.get("/things/slow")).status_code == 200


async def test_a_refused_value_is_logged_without_it(log_lines: Lines, client: httpx2.AsyncClient) -> None:
    for name in ("check", "too large", "at the commit"):
        log_lines()
        assert (await client.post(f"/things/{name}")).status_code == 422
        (line,) = [line for line in log_lines() if line["event"].endswith("by the database")]
        assert line["level"] == "warning"
        assert line["fields"] == STATEMENTS[name][3] or name == "at the commit"
        assert str(2**70) not in str(line)


async def test_the_log_has_the_statement_and_not_its_values(log_lines: Lines, client: httpx2.AsyncClient) -> None:
    await client.post("/things/a mistake of ours")
    line = next(line for line in log_lines() if line["event"] == "unexpected error")
    assert "SELECT nothing FROM nowhere" in line["exception"]
