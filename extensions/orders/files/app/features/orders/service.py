"""The operations on orders, with their rules and errors. The routes are in router.py."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.attributes import flag_modified

from app.core import pagination
from app.core.database import emit_once_committed
from app.core.errors import BusinessRuleViolated, NotFound, PreconditionFailed, ValidationFailed
from app.core.pagination import CursorParams, Keyset, Statement
from app.core.telemetry import BusinessEvent
from app.features.orders.models import Order, OrderLine
from app.features.orders.schemas import OrderChange, OrderFilter, OrderInput, OrderList

# Built once: a statement takes longer to build than to run.
SELECT_SUMMARY = select(Order.id, Order.reference, Order.status, Order.replaces_id, Order.created_at, Order.version)
SELECT_ORDER = SELECT_SUMMARY.add_columns(Order.updated_at)
ORDER_COLUMNS = SELECT_ORDER.selected_columns.keys()
# One statement: of two, the second may see a change that came after the first.
SELECT_ORDER_WITH_LINES = (
    SELECT_ORDER.add_columns(OrderLine.sku, OrderLine.quantity, OrderLine.unit_price)
    .outerjoin(OrderLine)
    .where(Order.id == bindparam("id"))
    .order_by(OrderLine.id)
)
NEWEST_FIRST = Keyset(Order.created_at, Order.id, descending=True)


class OrderNotFound(NotFound):
    code = "order_not_found"
    message = "there is no such order"


class ReplacedOrderUnknown(ValidationFailed):
    """The order that is to be replaced does not exist."""

    code = "replaced_order_unknown"
    message = "names an order that does not exist"


class OrderClosed(BusinessRuleViolated):
    code = "order_closed"
    message = "the order has been shipped or cancelled, and changes no more"


async def find(connection: AsyncConnection, order_id: int) -> dict[str, Any]:
    """Return one order with its lines."""
    rows = (await connection.execute(SELECT_ORDER_WITH_LINES, {"id": order_id})).all()
    if not rows:
        raise OrderNotFound
    order = {name: getattr(rows[0], name) for name in ORDER_COLUMNS}
    return {**order, "lines": [row for row in rows if row.sku is not None]}


async def page(connection: AsyncConnection, params: OrderList) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of orders, and how many there are in all."""
    statement = _filtered(SELECT_SUMMARY, params)
    column = Order.reference if params.sort.endswith("reference") else Order.created_at
    order = column.desc() if params.sort.startswith("-") else column.asc()
    return await pagination.fetch_page(connection, statement.order_by(order, Order.id), params)


async def cursor_page(
    connection: AsyncConnection, wanted: OrderFilter, params: CursorParams
) -> tuple[Sequence[Row[Any]], str | None]:
    """Return the orders after a cursor, newest first, and the cursor after them."""
    statement = NEWEST_FIRST.after(_filtered(SELECT_SUMMARY, wanted), params)
    rows = (await connection.execute(statement)).all()
    return rows[: params.size], NEWEST_FIRST.cursor(rows, params)


async def place(session: AsyncSession, order: OrderInput) -> Order:
    """Place an order. One that replaces another cancels it, or neither happens.

    Raises:
        ReplacedOrderUnknown: there is no order to be replaced.
        OrderClosed: the order to be replaced has been shipped or cancelled.
    """
    if order.replaces_id is not None:
        replaced = await session.get(Order, order.replaces_id, with_for_update=True)
        if replaced is None:
            raise ReplacedOrderUnknown(field="body.replaces_id")
        _require_open(replaced)
        replaced.status = "cancelled"
        _tell(session, "order_cancelled", replaced, {"status": "placed"}, {"status": "cancelled"})
    placed = Order(reference=order.reference, replaces_id=order.replaces_id, lines=_lines(order))
    session.add(placed)
    await session.flush()
    emit_once_committed(session, BusinessEvent("order_placed", subject=str(placed.id)))
    return placed


async def change(session: AsyncSession, order_id: int, order: OrderChange, *, version: int) -> Order:
    """Give an open order another reference and other lines.

    Raises:
        OrderNotFound: there is none.
        PreconditionFailed: someone else has changed it since `version`.
        OrderClosed: it has been shipped or cancelled.
    """
    current = await _locked(session, order_id, version)
    _require_open(current)
    before = OrderChange.model_validate(current).model_dump()
    current.lines.clear()
    await session.flush()  # the old lines go first: a new one may have the sku of an old one
    current.reference = order.reference
    current.lines = _lines(order)
    flag_modified(current, "reference")  # lines alone change no column of the order, and its version would stay
    await session.flush()
    await session.refresh(current, ["updated_at"])
    _tell(session, "order_changed", current, before, OrderChange.model_validate(current).model_dump())
    return current


async def ship(session: AsyncSession, order_id: int, *, version: int) -> Order:
    """Send an open order out: from then on it changes no more.

    Raises:
        OrderNotFound: there is none.
        PreconditionFailed: someone else has changed it since `version`.
        OrderClosed: it has been shipped or cancelled.
    """
    order = await _locked(session, order_id, version)
    _require_open(order)
    order.status = "shipped"
    await session.flush()
    _tell(session, "order_shipped", order, {"status": "placed"}, {"status": "shipped"})
    return order


async def delete(session: AsyncSession, order_id: int, *, version: int) -> None:
    """Delete an order; its lines go with it. An order that replaced it changes with it: its `replaces_id` is null then.

    Raises:
        OrderNotFound: there is none.
        PreconditionFailed: someone else has changed it since `version`.
    """
    order = await _locked(session, order_id, version)
    # By the session rather than by ON DELETE SET NULL alone, so that their versions count the change.
    for successor in await session.scalars(select(Order).where(Order.replaces_id == order_id).with_for_update()):
        successor.replaces_id = None
    await session.delete(order)
    emit_once_committed(session, BusinessEvent("order_deleted", subject=str(order_id)))


async def _locked(session: AsyncSession, order_id: int, version: int) -> Order:
    order = await session.get(Order, order_id, with_for_update=True, options=[selectinload(Order.lines)])
    if order is None:
        raise OrderNotFound
    if order.version != version:
        raise PreconditionFailed
    return order


def _require_open(order: Order) -> None:
    if order.status != "placed":
        raise OrderClosed


def _tell(session: AsyncSession, name: str, order: Order, before: dict[str, Any], after: dict[str, Any]) -> None:
    emit_once_committed(session, BusinessEvent(name, subject=str(order.id), before=before, after=after))


def _lines(order: OrderChange) -> list[OrderLine]:
    return [OrderLine(**line.model_dump()) for line in order.lines]


def _filtered(statement: Statement, wanted: OrderFilter) -> Statement:
    if wanted.status is not None:
        statement = statement.where(Order.status == wanted.status)
    if wanted.sku is not None:
        statement = statement.where(Order.lines.any(OrderLine.sku == wanted.sku))
    return statement
