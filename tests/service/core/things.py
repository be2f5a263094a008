"""A slice of the tests' own, with tables of their own: what the core does is seen without any feature."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import APIRouter
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column

from app.core.component import Component, State
from app.core.database import Database
from app.core.models import Base, Timestamp


class Shelf(Base):
    """A shelf, which has things."""

    __tablename__ = "test_shelves"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    filled_at: Mapped[datetime | None] = mapped_column(Timestamp)


class Thing(Base):
    """Something with every kind of constraint."""

    __tablename__ = "test_things"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount_not_negative"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    amount: Mapped[int] = mapped_column(BigInteger, default=0)
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("test_shelves.id"))
    after_id: Mapped[int | None] = mapped_column(
        ForeignKey("test_things.id", deferrable=True, initially="DEFERRED"), doc="Tried at the commit, not before."
    )
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  # as SQLAlchemy has it


TABLES: list[Table] = [Base.metadata.tables[name] for name in ("test_shelves", "test_things")]


def component(*routers: APIRouter) -> Component:
    """Makes the tables, with shelf 1 and thing 1 on it, serves what a test hands over, and drops the tables."""

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        engine: AsyncEngine = state["database"].engine
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all, tables=TABLES)
            await connection.run_sync(Base.metadata.create_all, tables=TABLES)
            await connection.execute(insert(Shelf).values(name="first", filled_at=datetime(2025, 1, 1, tzinfo=UTC)))
            await connection.execute(insert(Thing).values(name="first", amount=1, shelf_id=1))
        yield {}
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all, tables=TABLES)

    return Component(name="things", routers=routers, lifespan=lifespan)


def keeping(opened: list[Database]) -> Component:
    """Hands the database of the running service to a test."""

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        opened.append(state["database"])
        yield {}

    return Component(name="keeping", lifespan=lifespan)
