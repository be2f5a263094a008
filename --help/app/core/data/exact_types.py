"""Types and tables that keep their values on SQLite, which takes any value in any column and reuses ids."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Float, Integer, Numeric, Table
from sqlalchemy.dialects.sqlite import DATETIME
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

Processor = Callable[[Any], Any]


def _whole(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    try:
        whole = int(value)
        if whole == value or (isinstance(value, str) and "_" not in value):
            return whole
    except (TypeError, ValueError):
        pass
    raise OverflowError(f"{type(value).__name__} is not a whole number")


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    if math.isnan(number):
        raise OverflowError("SQLite cannot keep NaN")
    return number


def _decimal(value: Any) -> float | None:
    if value is None or isinstance(value, float):
        return _number(value)
    try:
        exact = Decimal(value)
        stored = float(exact)
        if Decimal(str(stored)) == exact:
            return stored
    except ArithmeticError:
        pass
    raise OverflowError("SQLite cannot keep every digit of this number")


def _shortest(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


class ExactInteger(Integer):
    """Whole numbers only: SQLite would store a word, or a fraction."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        del dialect
        return _whole


class ExactFloat(Float[Any]):
    """Numbers. SQLite would make NULL of NaN."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        del dialect
        return _number


class ExactNumeric(Numeric[Any]):
    """Decimals. SQLite keeps 15 to 17 digits: more are refused."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        del dialect
        return _decimal

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:
        if self.asdecimal and self.scale is None and self.decimal_return_scale is None:
            return _shortest  # SQLAlchemy would show ten decimals, more than were written
        read: Processor | None = super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]
        return read


class UTCDateTime(DATETIME):
    """Times. SQLite keeps no zone, so a time with a zone is stored in UTC, and one of `timezone=True` is read so."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        write = super().bind_processor(dialect)

        def store(value: Any) -> Any:
            if isinstance(value, datetime) and value.tzinfo is not None:
                value = value.astimezone(UTC).replace(tzinfo=None)
            return write(value) if write else value

        return store

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:
        read: Processor | None = super().result_processor(dialect, coltype)
        if not self.timezone or read is None:
            return read

        def load(value: Any) -> Any:
            found = read(value)
            return found if found is None else found.replace(tzinfo=UTC)

        return load


EXACT_TYPES: dict[type[TypeEngine[Any]], type[TypeEngine[Any]]] = {
    Integer: ExactInteger,
    Numeric: ExactNumeric,
    Float: ExactFloat,
    DateTime: UTCDateTime,
}
"""For `dialect.colspecs`: https://docs.sqlalchemy.org/en/21/core/internals.html"""


@compiles(BigInteger, "sqlite")
def _integer(*_: object, **__: object) -> str:
    return "INTEGER"  # of 64 bits; SQLite numbers rows in a column of this type alone


@compiles(CreateTable, "sqlite")
def _create_table(create: CreateTable, compiler: Any, **options: Any) -> str:
    """Create a table that never gives the id of a deleted row to another: https://www.sqlite.org/autoinc.html."""
    table = create.element
    table.dialect_options["sqlite"]["autoincrement"] = numbers_its_rows(table, compiler.dialect)
    sql: str = compiler.visit_create_table(create, **options)
    if table.primary_key.name is not None:  # left out by SQLAlchemy; a revision may refer to it
        name = compiler.preparer.format_constraint(table.primary_key)
        sql = sql.replace(" PRIMARY KEY AUTOINCREMENT", f" CONSTRAINT {name} PRIMARY KEY AUTOINCREMENT")
    return sql


def numbers_its_rows(table: Table, dialect: Dialect) -> bool:
    """Return whether SQLite makes the ids of a table. `sqlite_autoincrement=False` lets it reuse them."""
    key = table.autoincrement_column
    return (
        key is not None
        and len(table.primary_key) == 1
        and not key.foreign_keys
        and key.type.compile(dialect) == "INTEGER"
        and table.dialect_options["sqlite"]["with_rowid"]
        and dict(table.kwargs).get("sqlite_autoincrement", True)  # `get` itself gives the default of SQLAlchemy
    )
