"""Pagination: by page, with a total, and by cursor, which stays exact and fast however long the list grows."""

import binascii
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import sqlalchemy as sa
from fastapi import Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime, TypeAdapter, ValidationError
from sqlalchemy import Column, ColumnElement, FromClause, Row, Select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import visitors
from sqlalchemy.types import TypeEngine

from app.core.errors import ValidationFailed

logger = logging.getLogger(__name__)

LARGEST = 100
"""Items of a page, at most."""

ItemT = TypeVar("ItemT")
Statement = Select[*tuple[Any, ...]]
"""A `select` of any columns."""


class CursorInvalid(ValidationFailed):
    """The cursor is not one of this service."""

    code = "cursor_invalid"
    message = "is not a cursor of this list: start again without one"


class PageParams(BaseModel):
    """`?page=2&size=20`."""

    page: int = Field(1, ge=1, le=100_000)
    size: int = Field(20, ge=1, le=LARGEST)


class CursorParams(BaseModel):
    """`?cursor=...&size=20`."""

    cursor: str | None = Field(None, max_length=2_000)
    size: int = Field(20, ge=1, le=LARGEST)


class Links(BaseModel):
    """Links to other parts of the list: paths on this service."""

    model_config = ConfigDict(populate_by_name=True)

    self_: str = Field(alias="self")
    first: str
    previous: str | None = None
    next: str | None = None
    last: str | None = None


class Page(BaseModel, Generic[ItemT]):
    """One page of a list."""

    items: list[ItemT]
    page: int
    size: int
    total: int
    pages: int
    links: Links


class CursorPage(BaseModel, Generic[ItemT]):
    """One part of a list; `cursor` gives the next one, and is null at the end."""

    items: list[ItemT]
    size: int
    cursor: str | None
    links: Links


PageQuery = Annotated[PageParams, Query()]
CursorQuery = Annotated[CursorParams, Query()]


def _count(statement: Statement) -> Select[int]:
    return sa.select(sa.func.count()).select_from(statement.order_by(None).subquery())


async def count(connection: AsyncConnection, statement: Statement) -> int:
    """Return how many rows a statement finds."""
    return await connection.scalar(_count(statement)) or 0


async def fetch_page(
    connection: AsyncConnection, statement: Statement, params: PageParams
) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of the rows of an ordered statement, and how many it has in all.

    Both come from one statement, so that they agree. Each row has the number as a last column, `total_rows`.
    """
    before = (params.page - 1) * params.size
    total = _count(statement).scalar_subquery().label("total_rows")
    rows = (await connection.execute(statement.add_columns(total).limit(params.size).offset(before))).all()
    if rows or not before:
        return rows, rows[0].total_rows if rows else 0
    return rows, min(before, await count(connection, statement))  # beyond the end, as it was a moment before


def links(request: Request, **pages: Mapping[str, object] | None) -> Links:
    """Return links to this list, with the query of the request changed as given."""

    def path(changes: Mapping[str, object] | None) -> str | None:
        if changes is None:
            return None
        url = request.url.remove_query_params([name for name, value in changes.items() if value is None])
        url = url.include_query_params(**{name: value for name, value in changes.items() if value is not None})
        return f"{url.path}?{url.query}" if url.query else url.path

    found = {name: path(changes) for name, changes in pages.items()}
    return Links.model_validate({"self": path({}), **found})


def page_links(request: Request, params: PageParams, total: int) -> Links:
    pages = max(1, -(-total // params.size))
    return links(
        request,
        first={"page": 1},
        previous={"page": min(params.page - 1, pages)} if params.page > 1 else None,
        next={"page": params.page + 1} if params.page < pages else None,
        last={"page": pages},
    )


def cursor_links(request: Request, cursor: str | None) -> Links:
    return links(request, first={"cursor": None}, next={"cursor": cursor} if cursor else None)


class Keyset:
    """The order of a list, by columns that together are unique: `Keyset(Order.created_at, Order.id)`.

    The last column is unique and never NULL: else several rows have one place, and a page that ends among them loses
    the others. NULL comes first, ascending and descending alike. Order by what does not change: a row that moves
    between two requests may come twice or not at all.

    Source: https://use-the-index-luke.com/no-offset. A cursor holds the last row's values; it is not secret.
    """

    def __init__(self, *columns: Any, descending: bool = False) -> None:
        self.columns: Sequence[ColumnElement[Any]] = columns
        self.descending = descending
        shape: Any = tuple.__class_getitem__(tuple(_kind(column.type) | None for column in columns))
        # JSON has no infinity: pydantic would write null.
        self._types: TypeAdapter[tuple[Any, ...]] = TypeAdapter(shape, config=ConfigDict(ser_json_inf_nan="constants"))

    def after(self, statement: Statement, params: CursorParams) -> Statement:
        """Return the statement for the rows after the cursor, and one more, which tells of a next page."""
        optional = self._optional(statement)
        if params.cursor is not None:
            values = self._decode(params.cursor)
            if any(value is None and not may_be_null for value, may_be_null in zip(values, optional, strict=True)):
                raise CursorInvalid(field="query.cursor")
            statement = statement.where(self._behind(values))
            optional[0] &= values[0] is None  # after a first value there is no NULL, and any index gives that order
        order = (column.desc() if self.descending else column.asc() for column in self.columns)
        # Databases differ on where NULL is.
        placed = (by.nulls_first() if may_be_null else by for by, may_be_null in zip(order, optional, strict=True))
        return statement.order_by(*placed).limit(params.size + 1)

    def cursor(self, rows: Sequence[Row[Any]], params: CursorParams) -> str | None:
        """Return the cursor after the last row that is shown, or nothing at the end of the list."""
        if len(rows) <= params.size:
            return None
        last, following = (self._values(row) for row in rows[params.size - 1 : params.size + 1])
        if last == following:
            names = ", ".join(str(column.key) for column in self.columns)
            logger.error("a list loses rows: several have the same %s; add a unique column to its Keyset", names)
        return urlsafe_b64encode(self._types.dump_json(last)).decode().rstrip("=")

    def _values(self, row: Row[Any]) -> tuple[Any, ...]:
        found: Mapping[Any, Any] = row._mapping
        columns = [column.expression for column in self.columns]  # not by name first: two columns may have the same
        return tuple(found[column] if column in found else getattr(row, column.key or "") for column in columns)

    def _optional(self, statement: Statement) -> list[bool]:
        """Return for each column whether it may be NULL: it is not declared otherwise, or there is an outer join."""
        joined = _has_outer_join(statement)
        return [joined or not _never_null(column.expression) for column in self.columns]

    def _behind(self, values: Sequence[Any]) -> ColumnElement[bool]:
        # Each with the type of its column: else a database without a type for times compares two spellings.
        here = [sa.literal(value, column.type) for value, column in zip(values, self.columns, strict=True)]
        if None not in values:
            place, end = sa.tuple_(*self.columns), sa.tuple_(*here)
            return place < end if self.descending else place > end
        # SQL compares nothing with NULL: so column by column, from the last one on.
        behind: ColumnElement[bool] = sa.false()
        for column, value, found in reversed(list(zip(self.columns, values, here, strict=True))):
            if value is None:
                behind = sa.or_(column.is_not(None), sa.and_(column.is_(None), behind))
            else:
                further = column < found if self.descending else column > found
                behind = sa.or_(further, sa.and_(column == found, behind))
        return behind

    def _decode(self, cursor: str) -> tuple[Any, ...]:
        try:
            content = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            values: tuple[Any, ...] = self._types.validate_json(content, strict=True)
        except (binascii.Error, ValueError, ValidationError) as error:
            raise CursorInvalid(field="query.cursor") from error
        return values


def _kind(column: TypeEngine[Any]) -> Any:
    if column.python_type is not datetime:
        return column.python_type
    return AwareDatetime if getattr(column, "timezone", True) else NaiveDatetime


def _never_null(column: ColumnElement[Any]) -> bool:
    """Return whether it is a column of a table, or of its alias, that is declared NOT NULL."""
    if not isinstance(column, Column) or column.nullable:
        return False
    return isinstance(getattr(column.table, "element", column.table), sa.Table)


def _has_outer_join(statement: Statement) -> bool:
    if sum(isinstance(part, FromClause) for part in statement.get_children()) < 2:
        return False  # no join at all, so nothing to work out, which takes longer than all the rest
    parts = (part for source in statement.get_final_froms() for part in visitors.iterate(source))
    return any(isinstance(part, sa.Join) and (part.isouter or part.full) for part in parts)
