"""Keysets: every row once and in one order on every database, whatever the columns hold."""

import math
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import BigInteger, DateTime, Float, ForeignKey, Numeric, String, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Mapped, aliased, mapped_column

from app.core.models import Base, Timestamp
from app.core.pagination import CursorInvalid, CursorParams, Keyset, Statement

START = datetime(2026, 1, 1, tzinfo=UTC)
SIZES = [1, 7, 60]


class Shop(Base):
    """A shop that a parcel may be in."""

    __tablename__ = "test_shops"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(200))


class Parcel(Base):
    """Columns of many kinds, with and without NULL."""

    __tablename__ = "test_parcels"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    group: Mapped[int] = mapped_column(BigInteger)
    sent_at: Mapped[datetime | None] = mapped_column(Timestamp)
    rank: Mapped[int | None] = mapped_column(BigInteger)
    made_at: Mapped[datetime] = mapped_column(Timestamp)
    local_time: Mapped[datetime] = mapped_column(DateTime)
    weight: Mapped[float | None] = mapped_column(Float(53))
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    shop_id: Mapped[int | None] = mapped_column(ForeignKey("test_shops.id"))


TABLES: Any = [Shop.__table__, Parcel.__table__]
WEIGHTS = [math.inf, -math.inf, 0.1 + 0.2, 1e-320, None, 5.0]
PARCELS = [
    {
        "id": number,
        "group": number % 4,
        "sent_at": START + timedelta(minutes=number // 2) if number % 3 else None,
        "rank": number % 5 or None,
        "made_at": START + timedelta(microseconds=number // 2),
        "local_time": datetime(2026, 1, 1) + timedelta(microseconds=number // 3),  # noqa: DTZ001  # a column without a zone
        "weight": WEIGHTS[number % len(WEIGHTS)],
        "price": Decimal(number) / 100,
        "shop_id": number % 4 or None,
    }
    for number in range(1, 61)
]
SHOP = aliased(Shop)
MADE, SHOPS = TABLES[1], TABLES[0]
PARCEL = select(*MADE.columns)
RANK = func.nullif(Parcel.rank, 3).label("rank")
SPARSE = select(Parcel.id, Shop.name).outerjoin(Shop, Parcel.shop_id == Shop.id).subquery()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection to a database with parcels, which are gone at the end."""
    async with engine.connect() as connection:
        await connection.run_sync(Base.metadata.create_all, tables=TABLES)
        # 200 characters of three bytes each, as `Text` allows.
        shops = [{"id": number, "name": "店" * 199 + str(number)} for number in range(1, 4)]
        await connection.execute(insert(Shop), shops)
        await connection.execute(insert(Parcel), PARCELS)
        yield connection
        await connection.rollback()


async def walk(
    connection: AsyncConnection | AsyncSession, keyset: Keyset, statement: Statement, size: int
) -> list[Any]:
    """Every row, page after page."""
    found: list[Any] = []
    params = CursorParams(size=size)
    while len(found) < 200:
        rows = (await connection.execute(keyset.after(statement, params))).all()
        found += rows[:size]
        cursor = keyset.cursor(rows, params)
        if cursor is None:
            return found
        params = CursorParams(cursor=cursor, size=size)
    raise AssertionError("there is no end")


def in_order(rows: list[Any], *names: str, descending: bool) -> list[Any]:
    """Rows as a keyset of these columns has them: NULL comes first, in either direction."""

    def place(row: Any) -> list[tuple[bool, Any]]:
        return [((row[name] is None) is descending, row[name]) for name in names]

    return sorted(rows, key=place, reverse=descending)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    "names",
    [("sent_at", "id"), ("rank", "id"), ("group", "rank", "id"), ("rank", "sent_at", "id"), ("id", "rank")],
    ids="-".join,
)
async def test_rows_whose_columns_are_null_come_first_and_once(
    connection: AsyncConnection, names: tuple[str, ...], descending: bool, size: int
) -> None:
    keyset = Keyset(*(getattr(Parcel, name) for name in names), descending=descending)
    rows = await walk(connection, keyset, PARCEL, size)
    assert [row.id for row in rows] == [row["id"] for row in in_order(PARCELS, *names, descending=descending)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("columns", "statement"),
    [
        ((Shop.name, Parcel.id), select(Parcel.id, Shop.name).outerjoin(Shop, Parcel.shop_id == Shop.id)),
        ((SHOP.name, Parcel.id), select(Parcel.id, SHOP.name).outerjoin(SHOP, Parcel.shop_id == SHOP.id)),
        ((SHOPS.c.name, MADE.c.id), select(MADE.c.id, SHOPS.c.name).select_from(MADE.outerjoin(SHOPS))),
        ((RANK, Parcel.id), select(Parcel.id, RANK)),
        ((SPARSE.c.name, Parcel.id), select(Parcel.id, SPARSE.c.name).join(SPARSE, SPARSE.c.id == Parcel.id)),
    ],
    ids=["outer join", "outer join of an alias", "outer join of tables", "expression", "subquery"],
)
async def test_rows_are_complete_where_a_column_is_null_without_being_declared_so(
    connection: AsyncConnection, columns: Any, statement: Statement, descending: bool, size: int
) -> None:
    rows = await walk(connection, Keyset(*columns, descending=descending), statement, size)
    every = [row._mapping for row in (await connection.execute(statement)).all()]
    names = [column.key for column in columns]
    assert len(every) == 60
    assert [row.id for row in rows] == [row["id"] for row in in_order(every, *names, descending=descending)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("name", ["made_at", "local_time", "weight", "price"])
async def test_a_cursor_gives_back_the_exact_value(
    connection: AsyncConnection, name: str, descending: bool, size: int
) -> None:
    rows = await walk(connection, Keyset(getattr(Parcel, name), Parcel.id, descending=descending), PARCEL, size)
    assert [row.id for row in rows] == [row["id"] for row in in_order(PARCELS, name, "id", descending=descending)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("session", [False, True])
async def test_two_columns_of_one_name_are_told_apart(connection: AsyncConnection, session: bool, size: int) -> None:
    statement = select(Parcel.id, Shop.id).join(Shop, Parcel.shop_id == Shop.id)
    rows = await walk(AsyncSession(connection) if session else connection, Keyset(Shop.id, Parcel.id), statement, size)
    assert [(row[1], row[0]) for row in rows] == sorted((row[1], row[0]) for row in rows)
    assert len(rows) == 45


def sql(statement: Statement) -> str:
    """The statement in one line."""
    return " ".join(str(statement).split())


def test_a_keyset_without_null_is_one_comparison_that_an_index_serves() -> None:
    keyset = Keyset(Parcel.made_at, Parcel.id)
    cursor = urlsafe_b64encode(b'["2026-01-01T00:00:00Z",1]').decode().rstrip("=")
    for statement in (keyset.after(PARCEL, CursorParams()), keyset.after(PARCEL, CursorParams(cursor=cursor))):
        assert "NULL" not in sql(statement)
    assert "(test_parcels.made_at, test_parcels.id) > (" in sql(statement)


def test_behind_the_rows_with_null_the_statement_is_the_same_comparison() -> None:
    cursor = urlsafe_b64encode(b'["2026-01-01T00:00:00Z",1]').decode().rstrip("=")
    params = CursorParams(cursor=cursor)
    nullable, never_null = (
        Keyset(column, Parcel.id).after(PARCEL, params) for column in (Parcel.sent_at, Parcel.made_at)
    )
    assert sql(nullable).replace("sent_at", "made_at") == sql(never_null).replace("sent_at", "made_at")


def test_null_in_the_cursor_of_a_column_that_is_never_null_is_refused() -> None:
    cursor = urlsafe_b64encode(b'["2026-01-01T00:00:00Z",null]').decode().rstrip("=")
    with pytest.raises(CursorInvalid):
        Keyset(Parcel.made_at, Parcel.id).after(PARCEL, CursorParams(cursor=cursor))


async def test_columns_that_are_not_unique_together_are_reported_where_rows_get_lost(
    connection: AsyncConnection, caplog: pytest.LogCaptureFixture
) -> None:
    await walk(connection, Keyset(Parcel.group, Parcel.id), PARCEL, 7)
    assert not caplog.records
    await walk(connection, Keyset(Parcel.group), PARCEL, 7)
    assert "group" in caplog.text
    assert {record.levelname for record in caplog.records} == {"ERROR"}
