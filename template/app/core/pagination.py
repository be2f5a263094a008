"""Lists in parts: by page, with a total, and by cursor, which stays exact and fast however long the list grows."""

import binascii
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime, TypeAdapter, ValidationError
from sqlalchemy import (
    Alias,
    Column,
    ColumnElement,
    FromClause,
    Join,
    Row,
    Select,
    Table,
    and_,
    false,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import visitors
from sqlalchemy.types import TypeEngine

from app.core.errors import ValidationFailed

logger = logging.getLogger(__name__)

LARGEST = 100
"""Items a page."""

ItemT = TypeVar("ItemT")
Statement = Select[*tuple[Any, ...]]
"""A `select` of any columns."""


class CursorInvalid(ValidationFailed):
    """The cursor is not one of this service."""

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
    """Where to go from here: paths on this service."""

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
    """One stretch of a list; `cursor` gives the next one, and is null at the end."""

    items: list[ItemT]
    size: int
    cursor: str | None
    links: Links


PageQuery = Annotated[PageParams, Query()]
CursorQuery = Annotated[CursorParams, Query()]


async def count(connection: AsyncConnection, statement: Statement) -> int:
    """How many rows a statement finds."""
    return await connection.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0


async def fetch_page(
    connection: AsyncConnection, statement: Statement, params: PageParams
) -> tuple[Sequence[Row[Any]], int]:
    """One page of the rows that an ordered statement finds, and how many it finds in all.

    Both come from one statement, so that they agree. Each row has the number as a last column, `total_rows`.
    """
    before = (params.page - 1) * params.size
    total = select(func.count()).select_from(statement.order_by(None).subquery()).scalar_subquery().label("total_rows")
    rows = (await connection.execute(statement.add_columns(total).limit(params.size).offset(before))).all()
    if rows or not before:
        return rows, rows[0].total_rows if rows else 0
    return rows, min(before, await count(connection, statement))  # beyond the end, as it was a moment ago


def links(request: Request, **pages: Mapping[str, object] | None) -> Links:
    """Links to this list, with the query of the request changed as given."""

    def path(changes: Mapping[str, object] | None) -> str | None:
        if changes is None:
            return None
        url = request.url.remove_query_params([name for name, value in changes.items() if value is None])
        url = url.include_query_params(**{name: value for name, value in changes.items() if value is not None})
        return f"{url.path}?{url.query}" if url.query else url.path

    found = {name: path(changes) for name, changes in pages.items()}
    return Links.model_validate({"self": path({}), **found})


def page_links(request: Request, params: PageParams, total: int) -> Links:
    """The links of one page."""
    pages = max(1, -(-total // params.size))
    return links(
        request,
        first={"page": 1},
        previous={"page": min(params.page - 1, pages)} if params.page > 1 else None,
        next={"page": params.page + 1} if params.page < pages else None,
        last={"page": pages},
    )


def cursor_links(request: Request, cursor: str | None) -> Links:
    """The links of one stretch."""
    return links(request, first={"cursor": None}, next={"cursor": cursor} if cursor else None)


class Keyset:
    """The order of a list, by columns that together are unique: `Keyset(Order.created_at, Order.id)`.

    The last column is unique and never NULL: else several rows have one place, and a page that ends among them loses
    the others. NULL comes first, ascending and descending alike. Order by what does not change: a row that moves
    between two requests may come twice or not at all.

    Source: https://use-the-index-luke.com/no-offset. A cursor holds the last row's values; it is no secret.
    """

    def __init__(self, *columns: Any, descending: bool = False) -> None:
        self.columns: Sequence[ColumnElement[Any]] = columns
        self.descending = descending
        shape: Any = tuple.__class_getitem__(tuple(_kind(column.type) | None for column in columns))
        # JSON has no infinity: pydantic would write null.
        self._types: TypeAdapter[tuple[Any, ...]] = TypeAdapter(shape, config=ConfigDict(ser_json_inf_nan="constants"))

    def after(self, statement: Statement, params: CursorParams) -> Statement:
        """The statement for the rows behind the cursor, and one more, which tells whether there is a next stretch.

        Raises:
            CursorInvalid: the cursor is none that `cursor` has made.
        """
        optional = self._optional(statement)
        if params.cursor is not None:
            values = self._decode(params.cursor)
            if any(value is None and not may_be_null for value, may_be_null in zip(values, optional, strict=True)):
                raise CursorInvalid(field="query.cursor")
            statement = statement.where(self._behind(values))
            optional[0] &= values[0] is None  # behind a first value there is no NULL, and any index gives that order
        order = (column.desc() if self.descending else column.asc() for column in self.columns)
        # Databases differ on where NULL is.
        placed = (by.nulls_first() if may_be_null else by for by, may_be_null in zip(order, optional, strict=True))
        return statement.order_by(*placed).limit(params.size + 1)

    def cursor(self, rows: Sequence[Row[Any]], params: CursorParams) -> str | None:
        """The cursor behind the last row that is shown, or nothing at the end of the list."""
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
        """For each column, whether it may be NULL: declared or not known, or of a row that an outer join leaves out."""
        tables = [_table_of(column.expression) for column in self.columns]
        left_out = _left_out(statement)
        return [table is None or any(source.is_derived_from(table) for source in left_out) for table in tables]

    def _behind(self, values: Sequence[Any]) -> ColumnElement[bool]:
        # Each with the type of its column: else a database without a type for times compares two spellings.
        here = [literal(value, column.type) for value, column in zip(values, self.columns, strict=True)]
        if None not in values:
            place, end = tuple_(*self.columns), tuple_(*here)
            return place < end if self.descending else place > end
        # SQL compares nothing with NULL: so column by column, from the last one on.
        behind: ColumnElement[bool] = false()
        for column, value, found in reversed(list(zip(self.columns, values, here, strict=True))):
            if value is None:
                behind = or_(column.is_not(None), and_(column.is_(None), behind))
            else:
                further = column < found if self.descending else column > found
                behind = or_(further, and_(column == found, behind))
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


def _table_of(column: ColumnElement[Any]) -> FromClause | None:
    """The table of a column that is declared NOT NULL, or nothing."""
    if not isinstance(column, Column) or column.nullable:
        return None
    source = column.table
    return source if isinstance(source.element if isinstance(source, Alias) else source, Table) else None


def _left_out(statement: Statement) -> list[FromClause]:
    """The sides of outer joins that may have no row."""
    if sum(isinstance(part, FromClause) for part in statement.get_children()) < 2:
        return []  # no join, so nothing to work out, which takes longer than all the rest
    found: list[FromClause] = []
    for source in statement.get_final_froms():
        for join in visitors.iterate(source):
            if isinstance(join, Join) and join.full:
                found += [join.left, join.right]
            elif isinstance(join, Join) and join.isouter:
                found.append(join.right)
    return found
