"""Quantities over HTTP: with and without a unit, in the asked one, and hostile."""

import re
import time
from collections.abc import Callable
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Query
from pydantic import Field, TypeAdapter
from sqlalchemy import Column, Float, MetaData, Table, insert, select

from app.core.component import Component
from app.core.data.engine import DatabaseSettings, create
from app.core.schema import Schema
from app.core.settings import Settings
from app.extensions.units import Quantity, Unit, conversion
from app.extensions.units.quantity import LONGEST
from tests.conftest import Start

Mass = Annotated[Quantity, Unit("kg")]
Speed = Annotated[Quantity, Unit("m/s", answer="km/h")]
Load = Annotated[Quantity, Unit("kg"), Field(gt=0, le=1000)]


class Parcel(Schema):
    """A parcel."""

    weight: Mass
    speed: Speed | None = None
    load: Load | None = None


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    """A client of the service with a slice that has quantities."""
    router = APIRouter()

    @router.post("/parcels")
    async def send(parcel: Parcel) -> Parcel:
        return parcel

    @router.get("/parcels")
    async def find(heavier: Annotated[Mass, Query()], unit: str = "kg") -> dict[str, float]:
        return {"weight": heavier.to(unit)}

    return await start(extra=[Component(name="parcels", routers=[router])])


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (2500, 2500.0),
        (2.5, 2.5),
        ("2500", 2500.0),
        ("2.5 t", 2500.0),
        ("2.3t", 2300.0),
        ("0.1 t", 100.0),
        ("-4 g", -0.004),
        ("1e3 mg", 0.001),
        ("1 lb", 0.45359237),
        ("5 µg", 5e-9),
        ("3 metric_ton", 3000.0),
        ("0", 0.0),
    ],
)
async def test_a_quantity_is_a_number_of_the_base_unit_or_a_text(
    client: httpx2.AsyncClient, sent: Any, stored: float
) -> None:
    answer = await client.post("/parcels", json={"weight": sent})
    assert answer.status_code == 200, answer.text
    assert answer.json()["weight"] == stored


async def test_an_answer_is_in_the_unit_that_the_field_shows(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/parcels", json={"weight": 1, "speed": 10})
    assert answer.json()["speed"] == 36.0
    answer = await client.post("/parcels", json={"weight": 1, "speed": "90 km/h"})
    assert answer.json()["speed"] == 90.0


async def test_an_answer_is_in_the_unit_that_is_asked_for(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/parcels", params={"heavier": "2.5 t", "unit": "g"})
    assert answer.json() == {"weight": 2_500_000.0}
    for unit, code in [("m", "unit_incompatible"), ("zz", "unit_unknown"), ("kg**999999", "unit_unknown")]:
        answer = await client.get("/parcels", params={"heavier": "1", "unit": unit})
        assert (answer.status_code, answer.json()["code"]) == (422, code)


HOSTILE: dict[Any, str] = {
    "3 m": "unit_incompatible",
    "3 kg^2": "unit_incompatible",
    "3 degC": "unit_incompatible",
    "3 dB": "unit_incompatible",
    "3 zz": "unit_unknown",
    "3 kkkg": "unit_unknown",
    "9e99 Yg*Ym^9/ym^9": "quantity_unbounded",
    10**400: "quantity_unbounded",
    "1e999999 kg": "quantity_invalid",
    "1e100 kg": "quantity_invalid",
    "1 kg**999999": "quantity_invalid",
    "1 kg**-99": "quantity_invalid",
    "9**9**9**9": "quantity_invalid",
    "kg": "quantity_invalid",
    "": "quantity_invalid",
    " ": "quantity_invalid",
    "nan": "quantity_invalid",
    "inf kg": "quantity_invalid",
    "1 kg\n": "quantity_invalid",
    "1\x00kg": "quantity_invalid",
    "1 kg; import os": "quantity_invalid",
    "1 __import__('os')": "quantity_invalid",
    "1 kg + 1 kg": "quantity_invalid",
    "1 (kg)": "quantity_invalid",
    "1 kg/0": "quantity_invalid",
    "1 " + "m*" * 60 + "m": "quantity_invalid",
    "100000000000000.000000000000000e-14 kilogram*micrometer/micrometer": "quantity_invalid",
    "9" * 100_000: "quantity_invalid",
    "1 " + "k" * 100_000 + "g": "quantity_invalid",
    "٣ kg": "quantity_invalid",
}
WRONG: list[tuple[Any, str]] = [
    *HOSTILE.items(),
    (True, "quantity_invalid"),
    (None, "quantity_invalid"),
    ([1], "quantity_invalid"),
    ({"value": 1}, "quantity_invalid"),
]


@pytest.mark.parametrize(("sent", "code"), WRONG, ids=[repr(sent)[:30] for sent, _ in WRONG])
async def test_what_is_no_quantity_of_the_kind_is_422_and_costs_nothing(
    client: httpx2.AsyncClient, sent: Any, code: str
) -> None:
    conversion.registry()
    started = time.process_time()
    answer = await client.post("/parcels", json={"weight": sent})
    assert time.process_time() - started < 2
    assert answer.status_code == 422
    (mistake,) = answer.json()["errors"]
    assert (mistake["field"], mistake["code"]) == ("body.weight", code)
    assert len(answer.content) < 1000


@pytest.mark.parametrize(("sent", "status"), [("1 g", 200), ("1 t", 200), (0, 422), ("1.1 t", 422), ("-1 g", 422)])
async def test_bounds_are_in_the_base_unit(client: httpx2.AsyncClient, sent: Any, status: int) -> None:
    assert (await client.post("/parcels", json={"weight": 1, "load": sent})).status_code == status


async def test_the_schema_is_true(client: httpx2.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    number, text = schemas["Parcel-Input"]["properties"]["weight"]["anyOf"]
    assert (number, text["maxLength"]) == ({"type": "number"}, LONGEST)
    assert schemas["Parcel-Output"]["properties"]["weight"]["type"] == "number"
    accepts = TypeAdapter(Mass).validate_python
    for sent, _ in WRONG:
        if isinstance(sent, str) and HOSTILE[sent] == "quantity_invalid":
            assert len(sent) > text["maxLength"] or not re.search(text["pattern"].replace("$", r"\Z"), sent)
    for sent in ("2.5 t", "2500", "-1e3mg", "1 kg*m/m"):
        assert re.search(text["pattern"], sent)
        accepts(sent)


async def test_a_float_column_stores_it_as_a_number(configured: Callable[..., Settings]) -> None:
    table = Table("weighed", MetaData(), Column("weight", Float))
    engine = create(configured().of(DatabaseSettings))
    weight = TypeAdapter(Mass).validate_python("2.5 t")
    async with engine.begin() as connection:
        await connection.run_sync(table.metadata.create_all)
        await connection.execute(insert(table).values(weight=weight))
        stored = (await connection.execute(select(table.c.weight))).scalar_one()
    await engine.dispose()
    assert (stored, type(stored)) == (2500.0, float)
    assert TypeAdapter(Mass).validate_python(stored).to("t") == 2.5
