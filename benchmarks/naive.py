"""A straightforward service of FastAPI and the SQLAlchemy ORM alone: the reference of speed."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import DateTime, ForeignKey, String, UniqueConstraint, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

engine = create_async_engine(os.environ["DATABASE__URL"])
sessions = async_sessionmaker(engine, expire_on_commit=False)


def _now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """The base of the tables."""


class Order(Base):
    """The table of the sample slice."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(200), unique=True)
    status: Mapped[str] = mapped_column(String(20), default="placed", index=True)
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=_now, index=True)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=_now, onupdate=_now)
    version: Mapped[int] = mapped_column(default=1)
    lines: Mapped[list["OrderLine"]] = relationship(cascade="all, delete-orphan")


class OrderLine(Base):
    """The lines of the sample slice."""

    __tablename__ = "order_lines"
    __table_args__ = (UniqueConstraint("order_id", "sku"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    sku: Mapped[str] = mapped_column(String(200), index=True)
    quantity: Mapped[int]
    unit_price: Mapped[int]


class Line(BaseModel):
    """A line of an order."""

    model_config = ConfigDict(from_attributes=True)

    sku: str
    quantity: int
    unit_price: int


class OrderInput(BaseModel):
    """A request."""

    reference: str
    lines: list[Line]


class OrderSummary(BaseModel):
    """An order in a list."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    reference: str
    status: str
    replaces_id: int | None
    created_at: datetime
    version: int


class OrderPage(BaseModel):
    """A page of orders."""

    items: list[OrderSummary]
    total: int


class OrderOutput(OrderSummary):
    """An order with its lines."""

    updated_at: datetime
    lines: list[Line]


async def session_of_request() -> AsyncIterator[AsyncSession]:
    """A session."""
    async with sessions() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(session_of_request)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Open the database."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 1"))
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/api/v1/orders")
async def list_orders(session: SessionDep, size: int = 20) -> OrderPage:
    """Return the newest orders, and how many there are."""
    total = await session.scalar(select(func.count()).select_from(Order)) or 0
    found = await session.scalars(select(Order).order_by(Order.created_at.desc()).limit(size))
    return OrderPage(items=[OrderSummary.model_validate(order) for order in found], total=total)


@app.get("/api/v1/orders/{order_id}")
async def read_order(order_id: int, session: SessionDep) -> OrderOutput:
    """Return one order with its lines."""
    order = await session.get(Order, order_id, options=[selectinload(Order.lines)])
    if order is None:
        raise HTTPException(404)
    return OrderOutput.model_validate(order)


@app.post("/api/v1/orders", status_code=201)
async def place_order(order: OrderInput, session: SessionDep) -> OrderOutput:
    """Store an order, committed before the answer."""
    placed = Order(reference=order.reference, lines=[OrderLine(**line.model_dump()) for line in order.lines])
    session.add(placed)
    await session.commit()
    return OrderOutput.model_validate(placed)


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    """Return that the service is up."""
    return {"status": "ok"}
