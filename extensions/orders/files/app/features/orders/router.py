"""Orders over HTTP: below /api/v1/orders."""

from typing import Annotated

from fastapi import Query, Request, Response, status

from app.core.concurrency import ExpectedVersion, etag
from app.core.database import DatabaseDep
from app.core.database_errors import AlreadyExists
from app.core.errors import PreconditionFailed, PreconditionRequired, problems
from app.core.pagination import CursorInvalid, CursorPage, CursorQuery, Page
from app.core.schema import Id, headers_of
from app.core.versioning import versioned
from app.features.orders import service
from app.features.orders.models import Order
from app.features.orders.schemas import OrderChange, OrderFilter, OrderInput, OrderList, OrderOutput, OrderSummary
from app.features.orders.service import OrderClosed, OrderNotFound, ReplacedOrderUnknown

router = versioned("orders")
VERSIONED = headers_of(200, "ETag")
CHANGING = VERSIONED | problems(OrderNotFound, OrderClosed, PreconditionFailed, PreconditionRequired)


@router.get("")
async def list_orders(
    request: Request, database: DatabaseDep, params: Annotated[OrderList, Query()]
) -> Page[OrderSummary]:
    """List orders, page by page."""
    async with database.read() as connection:
        rows, total = await service.page(connection, params)
    return Page[OrderSummary].of(rows, total, params, request)


@router.get("/feed", responses=problems(CursorInvalid))
async def read_feed(
    request: Request, database: DatabaseDep, cursor: CursorQuery, wanted: Annotated[OrderFilter, Query()]
) -> CursorPage[OrderSummary]:
    """List orders, newest first, without gaps or repetitions while new ones come in."""
    async with database.read() as connection:
        rows, after = await service.cursor_page(connection, wanted, cursor)
    return CursorPage[OrderSummary].of(rows, after, cursor, request)


@router.get("/{order_id}", responses=VERSIONED | problems(OrderNotFound))
async def read_order(order_id: Id, database: DatabaseDep, response: Response) -> OrderOutput:
    """Read one order with its lines."""
    async with database.read() as connection:
        order = OrderOutput.model_validate(await service.find(connection, order_id))
    response.headers["ETag"] = etag(order.version)
    return order


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=headers_of(201, "ETag", "Location") | problems(AlreadyExists, ReplacedOrderUnknown, OrderClosed),
)
async def place_order(order: OrderInput, database: DatabaseDep, request: Request, response: Response) -> OrderOutput:
    """Place an order, in place of another one if `replaces_id` says so."""
    async with database.transaction() as session:
        placed = await service.place(session, order)
    response.headers["Location"] = f"{request.url.path}/{placed.id}"
    return _answer(placed, response)


@router.put("/{order_id}", responses=CHANGING | problems(AlreadyExists))
async def change_order(
    order_id: Id, order: OrderChange, version: ExpectedVersion, database: DatabaseDep, response: Response
) -> OrderOutput:
    """Change an order that no one else has changed meanwhile."""
    async with database.transaction() as session:
        changed = await service.change(session, order_id, order, version=version)
    return _answer(changed, response)


@router.post("/{order_id}/ship", responses=CHANGING)
async def ship_order(order_id: Id, version: ExpectedVersion, database: DatabaseDep, response: Response) -> OrderOutput:
    """Send an order out."""
    async with database.transaction() as session:
        shipped = await service.ship(session, order_id, version=version)
    return _answer(shipped, response)


@router.delete(
    "/{order_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(OrderNotFound, PreconditionFailed, PreconditionRequired),
)
async def delete_order(order_id: Id, version: ExpectedVersion, database: DatabaseDep) -> None:
    """Delete an order and its lines."""
    async with database.transaction() as session:
        await service.delete(session, order_id, version=version)


def _answer(order: Order, response: Response) -> OrderOutput:
    response.headers["ETag"] = etag(order.version)
    return OrderOutput.model_validate(order)
