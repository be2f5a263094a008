"""A slice whose parcels have a weight and a speed, in a table too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field
from sqlalchemy import text

from app.core.component import Component, State
from app.core.database import DatabaseDep
from app.core.schema import Schema
from app.core.versioning import versioned
from app.extensions.units import Quantity, Unit

router = versioned("parcels")
Mass = Annotated[Quantity, Unit("kg")]


class Parcel(Schema):
    """A parcel."""

    weight: Annotated[Mass, Field(gt=0, le=10_000)]
    speed: Annotated[Quantity, Unit("m/s", answer="km/h")]


@router.post("", status_code=201)
async def send(parcel: Parcel, database: DatabaseDep) -> Parcel:
    """Store a parcel."""
    async with database.transaction() as session:
        await session.execute(text("INSERT INTO parcels (weight) VALUES (:weight)"), {"weight": float(parcel.weight)})
    return parcel


@router.get("/total")
async def total(database: DatabaseDep, unit: str = "kg") -> float:
    """Return the total weight of the parcels."""
    async with database.read() as connection:
        weight = (await connection.execute(text("SELECT sum(weight) FROM parcels"))).scalar_one()
    return Quantity(weight, "kg").to(unit)


@asynccontextmanager
async def lifespan(state: State) -> AsyncIterator[State]:
    """Make the table."""
    async with state["database"].engine.begin() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS parcels (weight DOUBLE PRECISION)"))
    yield {}


def component() -> Component:
    """Return the component of this slice."""
    return Component(name="parcels", routers=[router], lifespan=lifespan)
