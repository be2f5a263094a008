"""Lists in parts: bounded, linked, and by cursor exact while rows come in."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import insert, select

from app.core.database import DatabaseDep
from app.core.pagination import CursorPage, CursorQuery, Keyset, Page, PageQuery, count, cursor_links, page_links
from tests.conftest import Start
from tests.core import things
from tests.core.conftest import statements
from tests.core.things import Shelf

SHELVES = select(Shelf.id, Shelf.name, Shelf.filled_at)
BY_TIME = Keyset(Shelf.filled_at, Shelf.id, descending=True)
BY_NAME = Keyset(Shelf.name)
START = datetime(2026, 1, 1, tzinfo=UTC)
router = APIRouter(prefix="/shelves")


class ShelfOutput(BaseModel):
    """A shelf."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


@router.get("")
async def list_shelves(request: Request, database: DatabaseDep, params: PageQuery) -> Page[ShelfOutput]:
    """Page by page."""
    async with database.read() as connection:
        total = await count(connection, SHELVES)
        offset = (params.page - 1) * params.size
        rows = (await connection.execute(SHELVES.order_by(Shelf.id).limit(params.size).offset(offset))).all()
    return Page(
        items=[ShelfOutput.model_validate(row) for row in rows],
        page=params.page,
        size=params.size,
        total=total,
        pages=-(-total // params.size),
        links=page_links(request, params, total),
    )


@router.get("/by/{order}")
async def feed(request: Request, database: DatabaseDep, params: CursorQuery, order: str) -> CursorPage[ShelfOutput]:
    """Stretch by stretch."""
    keyset = BY_TIME if order == "time" else BY_NAME
    async with database.read() as connection:
        rows = (await connection.execute(keyset.after(SHELVES, params))).all()
    cursor = keyset.cursor(rows, params)
    items = [ShelfOutput.model_validate(row) for row in rows[: params.size]]
    return CursorPage(items=items, size=params.size, cursor=cursor, links=cursor_links(request, cursor))


@router.post("/{first}/{last}")
async def fill(first: int, last: int, database: DatabaseDep) -> None:
    """Adds shelves, two of them at each moment."""
    async with database.transaction() as session:
        rows = [
            {"name": f"shelf {number:03}", "filled_at": START + timedelta(seconds=number // 2)}
            for number in range(first, last)
        ]
        await session.execute(insert(Shelf), rows)


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    client = await start(extra=[things.component(router)])
    await client.post("/shelves/1/25")
    return client


async def everything(client: httpx2.AsyncClient, path: str) -> list[int]:
    """Every id, along the links."""
    found: list[int] = []
    following: str | None = path
    while following:
        assert len(found) < 100, f"{following} leads nowhere"
        part = (await client.get(following)).json()
        found += [item["id"] for item in part["items"]]
        following = part["links"]["next"]
    return found


def query(link: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link).query))


async def test_a_page_says_where_it_is_and_where_to_go(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/shelves", params={"page": 2, "size": 10, "other": "a b"})).json()
    assert (page["page"], page["size"], page["total"], page["pages"], len(page["items"])) == (2, 10, 25, 3, 10)
    links = {name: query(link) for name, link in page["links"].items()}
    assert {name: link["page"] for name, link in links.items()} == {
        "self": "2",
        "first": "1",
        "previous": "1",
        "next": "3",
        "last": "3",
    }
    assert all(link["size"] == "10" and link["other"] == "a b" for link in links.values())


async def test_the_first_and_the_last_page_end_there(client: httpx2.AsyncClient) -> None:
    first = (await client.get("/shelves")).json()["links"]
    last = (await client.get("/shelves?page=2")).json()["links"]
    beyond = (await client.get("/shelves?page=100")).json()
    assert (first["previous"], query(first["next"])["page"]) == (None, "2")
    assert (query(last["previous"])["page"], last["next"]) == ("1", None)
    assert (beyond["items"], query(beyond["links"]["previous"])["page"]) == ([], "2")


async def test_the_links_lead_through_every_item_once(client: httpx2.AsyncClient) -> None:
    assert await everything(client, "/shelves?size=7") == list(range(1, 26))


@pytest.mark.parametrize(
    "params", [{"page": 0}, {"page": -1}, {"page": 10**9}, {"size": 0}, {"size": 101}, {"size": "x"}, {"page": "1e3"}]
)
async def test_pages_have_bounds(client: httpx2.AsyncClient, params: dict[str, Any]) -> None:
    answer = await client.get("/shelves", params=params)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, f"query.{next(iter(params))}")


@pytest.mark.parametrize("size", [0, 101])
async def test_stretches_have_bounds(client: httpx2.AsyncClient, size: int) -> None:
    assert (await client.get("/shelves/by/time", params={"size": size})).status_code == 422


async def test_cursors_lead_through_every_item_once(client: httpx2.AsyncClient) -> None:
    assert await everything(client, "/shelves/by/time?size=7") == [*range(25, 0, -1)]
    assert await everything(client, "/shelves/by/name?size=7") == list(range(1, 26))
    assert (await client.get("/shelves/by/name?size=25")).json()["cursor"] is None


async def test_cursors_have_no_gaps_or_repetitions_while_rows_come_in(client: httpx2.AsyncClient) -> None:
    part = (await client.get("/shelves/by/time?size=10")).json()
    await client.post("/shelves/25/35")
    rest = await everything(client, part["links"]["next"])
    assert [item["id"] for item in part["items"]] + rest == [*range(25, 0, -1)]


async def test_a_stretch_is_one_statement_however_far_down(client: httpx2.AsyncClient) -> None:
    part = (await client.get("/shelves/by/time?size=10")).json()
    with statements() as seen:
        await client.get(part["links"]["next"])
    assert len(seen) == 1
    assert "OFFSET" not in seen[0] or "WHERE" in seen[0]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "e30",  # {}
        "W10",  # []
        "WzEsMl0",  # [1,2]
        "é",
        "W1tb" * 100,
        "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwxXQ",  # ["2026-01-01T00:00:00",1]: no zone
        "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwxXQ",  # ["0001-01-01T00:00:00+23:59",1]: before the year 1 in UTC
        "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsMTE4MDU5MTYyMDcxNzQxMTMwMzQyNF0",  # ["2026-01-01T00:00:00Z",2**70]
        "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsbnVsbF0",  # ["2026-01-01T00:00:00Z",null]
        "9" * 2001,
    ],
)
async def test_a_cursor_of_somebody_elses_making_is_refused(client: httpx2.AsyncClient, cursor: str) -> None:
    answer = await client.get("/shelves/by/time", params={"cursor": cursor})
    assert answer.status_code == 422, answer.text
    assert cursor not in answer.text or len(cursor) < 4


async def test_a_text_cursor_with_a_nul_is_refused_or_finds_nothing(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/shelves/by/name", params={"cursor": "WyJcdTAwMDAiXQ"})  # ["\\u0000"]
    assert answer.status_code in {200, 422}
