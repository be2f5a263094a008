"""The requests and answers of orders. They are not the tables, so that each can change alone."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, computed_field, model_validator

from app.core.pagination import PageParams
from app.core.schema import MAX_INT, NumberOnly, Schema, Text

Status = Literal["placed", "shipped", "cancelled"]
Sort = Literal["created_at", "-created_at", "reference", "-reference"]

# Columns of 32 bits: not every database would refuse more.
Quantity = Annotated[int, Field(ge=1, le=1_000_000), NumberOnly]
Cents = Annotated[int, Field(ge=0, le=2_000_000_000), NumberOnly]


class Line(Schema):
    """A quantity of one article; `unit_price` in cents."""

    sku: Text
    quantity: Quantity
    unit_price: Cents


class OrderChange(Schema):
    """The part of an order that can be changed."""

    reference: Text
    lines: list[Line] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _each_article_once(self) -> Self:
        skus = [line.sku for line in self.lines]
        if len(set(skus)) < len(skus):
            raise ValueError("each sku may be in one line only")
        return self


class OrderInput(OrderChange):
    """A new order."""

    replaces_id: Annotated[int, Field(ge=1, le=MAX_INT), NumberOnly] | None = None


class OrderSummary(Schema):
    """An order in a list."""

    id: int
    reference: str
    status: Status
    replaces_id: int | None
    created_at: datetime
    version: int


class OrderOutput(OrderSummary):
    """An order with its lines."""

    updated_at: datetime
    lines: list[Line]

    @computed_field
    def total(self) -> int:
        """Return the sum of the lines in cents."""
        return sum(line.quantity * line.unit_price for line in self.lines)


class OrderFilter(BaseModel):
    """The filter of a list."""

    status: Status | None = None
    sku: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[^\x00]+$")


class OrderList(OrderFilter, PageParams):
    """`?status=placed&sku=A-1&sort=-created_at&page=2&size=20`."""

    sort: Sort = "-created_at"
