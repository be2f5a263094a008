"""The table of units: converted by pint, loaded late, kept small, and checked at the start."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import TypeAdapter

from app.core.errors import ConfigurationInvalid
from app.extensions.units import Quantity, Unit, UnitIncompatible, UnitUnknown, conversion
from tests.conftest import Start

MASS = TypeAdapter(Annotated[Quantity, Unit("kg")])


def test_a_quantity_computes_and_converts() -> None:
    weight = Quantity(2500, "kg")
    assert (weight.unit, weight.to("t"), weight.to("t").unit, weight / 2) == ("kg", 2.5, "t", 1250.0)
    assert json.dumps(weight) == "2500.0"
    with pytest.raises(UnitIncompatible):
        weight.to("m")
    with pytest.raises(UnitUnknown):
        weight.to("kg; drop")


def test_temperatures_have_an_offset() -> None:
    assert TypeAdapter(Annotated[Quantity, Unit("K")]).validate_python("20 degC") == 293.15


def test_a_quantity_of_another_unit_is_converted() -> None:
    assert MASS.validate_python(Quantity(2.5, "t")) == 2500.0


def test_ever_other_units_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_MOST", 20)
    first = conversion.registry()
    for power in range(1, 10):
        for name in ("g", "t", "lb"):
            with pytest.raises(UnitIncompatible):
                conversion.convert(Decimal(1), f"{name}^{power}", "m")
    assert conversion.registry() is not first
    assert len(conversion._seen) <= 20


def test_threads_share_one_table() -> None:
    conversion.registry.cache_clear()
    conversion._seen.clear()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: conversion.convert(Decimal("2.3"), "t", "kg"), range(40)))
    assert found == {Decimal(2300)}
    assert conversion.registry.cache_info().misses == 1


UNUSED = """
import sys
from typing import Annotated
from pydantic import BaseModel
from app.extensions.units import Quantity, Unit
class Parcel(BaseModel):
    weight: Annotated[Quantity, Unit("kg")]
Parcel.model_json_schema()
assert Parcel(weight=2500).weight == 2500 == Parcel(weight="2500 kg").weight
assert "pint" not in sys.modules, "what needs no conversion loads pint"
Parcel(weight="2.5 t")
assert "pint" in sys.modules
"""


def test_pint_is_loaded_when_a_unit_has_to_be_converted_and_not_before() -> None:
    run = [sys.executable, "-c", UNUSED]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert done.returncode == 0, done.stderr


async def test_the_table_is_loaded_at_the_start_where_a_unit_is_declared(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for declared, preload, loaded in [({"kg"}, True, 1), (set[str](), True, 0), ({"kg"}, False, 0)]:
        monkeypatch.setattr(Unit, "declared", declared)
        conversion.registry.cache_clear()
        await start(units={"preload": preload})
        assert conversion.registry.cache_info().currsize == loaded


async def test_a_unit_that_does_not_exist_stops_the_start(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unit, "declared", {"kg", "kgg"})
    with pytest.raises(ConfigurationInvalid, match="a field is declared in kgg, and there is no such unit"):
        await start()
