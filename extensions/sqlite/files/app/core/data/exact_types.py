"""Types that keep their values on SQLite, which takes any value in any column: each is stored exactly, or refused."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Dialect, Float, Integer, Numeric
from sqlalchemy.dialects.sqlite import DATETIME
from sqlalchemy.types import TypeEngine

Processor = Callable[[Any], Any]


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    if math.isnan(number):
        raise OverflowError("SQLite cannot keep NaN")
    return number


def _shortest(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


class ExactInteger(Integer):
    """Whole numbers alone: SQLite would store a word, or half a one."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Return the check of a value on its way to the database."""
        del dialect

        def store(value: Any) -> int | None:
            if value is None or type(value) is int:
                return value
            try:
                whole = int(value)
                if whole == value or (isinstance(value, str) and "_" not in value):
                    return whole
            except (TypeError, ValueError):
                pass
            raise OverflowError(f"{type(value).__name__} is not a whole number")

        return store


class ExactNumeric(Numeric[Any]):
    """Decimals. SQLite keeps 15 to 17 digits: more are refused."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Return the check of a value on its way to the database."""
        del dialect

        def store(value: Any) -> float | None:
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

        return store

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:
        """Return the conversion of a value on its way from the database."""
        if self.asdecimal and self.scale is None and self.decimal_return_scale is None:
            return _shortest  # SQLAlchemy would show ten decimals, more than were written
        read: Processor | None = super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]
        return read


class ExactFloat(Float[Any]):
    """Numbers. SQLite would make NULL of NaN."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Return the check of a value on its way to the database."""
        del dialect
        return _number


class UTCDateTime(DATETIME):
    """Times. SQLite keeps no zone, so a time with a zone is stored in UTC, and one of `timezone=True` is read so."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Return the conversion of a value on its way to the database."""
        write = super().bind_processor(dialect)

        def store(value: Any) -> Any:
            if isinstance(value, datetime) and value.tzinfo is not None:
                value = value.astimezone(UTC).replace(tzinfo=None)
            return write(value) if write else value

        return store

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:
        """Return the conversion of a value on its way from the database."""
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
