"""What one writes without thinking about it, FastAPI and SQLAlchemy alone: the service is compared to it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict
from sqlalchemy import String, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["DATABASE__URL"])
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The base of the tables."""


class Order(Base):
    """A table."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(200))


class OrderOutput(BaseModel):
    """An answer."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    reference: str


async def session_of_request() -> AsyncIterator[AsyncSession]:
    """A session."""
    async with sessions() as session:
        yield session


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Open the database."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/orders")
async def list_orders(session: Annotated[AsyncSession, Depends(session_of_request)]) -> list[OrderOutput]:
    """Every order."""
    return [OrderOutput.model_validate(order) for order in await session.scalars(select(Order))]


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    """Whether it is up."""
    return {"status": "ok"}
