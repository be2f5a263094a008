"""Exact types: SQLite gives back the value that it is given, or the value is refused."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, DateTime, Float, Integer, MetaData, Numeric, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Database
from app.core.database_errors import ValueRefused
from tests.conftest import Serve
from tests.core import things

VALUES = Table(
    "test_values",
    MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("whole", Integer),
    Column("plain", Numeric),
    Column("money", Numeric(12, 2)),
    Column("loose", Numeric(asdecimal=False)),
    Column("ratio", Float),
    Column("moment", DateTime(timezone=True)),
    Column("local", DateTime),
)
EAST = timezone(timedelta(hours=5))
NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=EAST)


@pytest.fixture
async def database(serve: Serve, engine: AsyncEngine) -> Any:
    """A database with a column of each type."""
    opened: list[Database] = []
    await serve(extra=[things.keeping(opened)])
    async with engine.begin() as connection:
        await connection.run_sync(VALUES.metadata.create_all)
    yield opened[0]
    async with engine.begin() as connection:
        await connection.run_sync(VALUES.metadata.drop_all)


async def stored(database: Database, column: str, value: object) -> Any:
    """The value as it is read after it has been written."""
    async with database.transaction() as session:
        await session.execute(insert(VALUES).values({column: value}))
    async with database.read() as connection:
        return await connection.scalar(select(VALUES.c[column]))


@pytest.mark.parametrize(
    ("column", "value", "read"),
    [
        ("whole", 7, 7),
        ("whole", -(2**63), -(2**63)),
        ("whole", "7", 7),
        ("whole", 7.0, 7),
        ("whole", True, 1),
        ("whole", None, None),
        ("plain", Decimal("1234567890.12345"), Decimal("1234567890.12345")),
        ("plain", Decimal("0.00000000001"), Decimal("0.00000000001")),
        ("plain", Decimal("Infinity"), Decimal("Infinity")),
        ("plain", None, None),
        ("money", Decimal("9999999999.99"), Decimal("9999999999.99")),
        ("loose", Decimal("0.10"), 0.1),
        ("money", 12, Decimal("12.00")),
        ("money", 0.1 + 0.2, Decimal("0.30")),
        ("loose", 0.1 + 0.2, 0.1 + 0.2),
        ("ratio", 0.1 + 0.2, 0.1 + 0.2),
        ("ratio", None, None),
        ("moment", NOON, NOON.astimezone(UTC)),
        ("moment", None, None),
        ("local", NOON.replace(tzinfo=None), NOON.replace(tzinfo=None)),
        ("local", NOON, NOON.astimezone(UTC).replace(tzinfo=None)),
    ],
)
async def test_a_value_is_read_as_it_was_written(database: Database, column: str, value: object, read: object) -> None:
    found = await stored(database, column, value)
    assert (found, getattr(found, "tzinfo", None)) == (read, getattr(read, "tzinfo", None))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("whole", "abc"),
        ("whole", 1.5),
        ("whole", "1_0"),
        ("whole", 2**63),
        ("whole", Decimal("1.5")),
        ("plain", Decimal("1234567890123.45678")),
        ("plain", Decimal("NaN")),
        ("plain", float("nan")),
        ("plain", 10**400),
        ("money", Decimal("12345678901234567.89")),
        ("ratio", float("nan")),
        ("loose", float("nan")),
    ],
)
async def test_a_value_that_would_change_is_refused(database: Database, column: str, value: object) -> None:
    with pytest.raises(ValueRefused):
        await stored(database, column, value)
    async with database.read() as connection:
        assert (await connection.execute(select(VALUES.c.id))).all() == []


@pytest.mark.parametrize("value", [7, "7", "abc", 7.5])
async def test_a_comparison_with_any_value_finds_what_is_equal(database: Database, value: object) -> None:
    await stored(database, "whole", 7)
    async with database.read() as connection:
        found = await connection.scalar(select(VALUES.c.whole).where(VALUES.c.whole == value))
    assert found == (7 if value in {7, "7"} else None)


async def test_an_operand_is_not_rounded_to_the_scale_of_its_column(database: Database) -> None:
    await stored(database, "money", Decimal("100.00"))
    async with database.transaction() as session:
        await session.execute(update(VALUES).values(money=VALUES.c.money * Decimal("1.055")))
    async with database.read() as connection:
        assert await connection.scalar(select(VALUES.c.money)) == Decimal("105.50")
