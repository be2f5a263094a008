"""Lists in parts: by page, with a total, and by cursor, which stays exact and fast however long the list grows."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, Row, Select, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.errors import ValidationFailed

LARGEST = 100
"""Items a page."""

ItemT = TypeVar("ItemT")
Statement = Select[*tuple[Any, ...]]
"""A `select` of any columns."""


class CursorInvalid(ValidationFailed):
    """The cursor is none that this service has given."""

    message = "is not a cursor of this list: start again without one"


class PageParams(BaseModel):
    """`?page=2&size=20`."""

    page: int = Field(1, ge=1, le=100_000)
    size: int = Field(20, ge=1, le=LARGEST)


class CursorParams(BaseModel):
    """`?cursor=...&size=20`."""

    cursor: str | None = Field(None, max_length=500)
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

    Source: https://use-the-index-luke.com/no-offset. A cursor holds the last row's values; it is no secret.
    """

    def __init__(self, *columns: Any, descending: bool = False) -> None:
        self.columns: Sequence[ColumnElement[Any]] = columns
        self.descending = descending
        kinds = (
            AwareDatetime if column.type.python_type is datetime else column.type.python_type for column in columns
        )
        shape: Any = tuple.__class_getitem__(tuple(kinds))
        self._types: TypeAdapter[tuple[Any, ...]] = TypeAdapter(shape)

    def after(self, statement: Statement, params: CursorParams) -> Statement:
        """The statement for the rows behind the cursor, and one more, which tells whether there is a next stretch.

        Raises:
            CursorInvalid: the cursor is none that `cursor` has made.
        """
        if params.cursor is not None:
            values = zip(self._decode(params.cursor), self.columns, strict=True)
            # Each with the type of its column: else a database without a type for times compares two spellings.
            place, here = tuple_(*self.columns), tuple_(*(literal(value, column.type) for value, column in values))
            statement = statement.where(place < here if self.descending else place > here)
        order = [column.desc() if self.descending else column.asc() for column in self.columns]
        return statement.order_by(*order).limit(params.size + 1)

    def cursor(self, rows: Sequence[Row[Any]], params: CursorParams) -> str | None:
        """The cursor behind the last row that is shown, or nothing at the end of the list."""
        if len(rows) <= params.size:
            return None
        last = rows[params.size - 1]
        content = self._types.dump_json(tuple(getattr(last, column.key or "") for column in self.columns))
        return urlsafe_b64encode(content).decode().rstrip("=")

    def _decode(self, cursor: str) -> tuple[Any, ...]:
        try:
            content = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            values: tuple[Any, ...] = self._types.validate_json(content, strict=True)
        except (binascii.Error, ValueError, ValidationError) as error:
            raise CursorInvalid(field="query.cursor") from error
        return values
