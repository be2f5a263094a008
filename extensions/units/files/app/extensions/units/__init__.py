"""Units: quantities in requests and answers. Import `Quantity` and `Unit` from here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field

from app.core.component import Component, State
from app.core.errors import ConfigurationInvalid
from app.core.settings import Group, Settings
from app.extensions.units import conversion
from app.extensions.units.conversion import UnitIncompatible, UnitUnknown
from app.extensions.units.quantity import Quantity, Unit

__all__ = ["Quantity", "Unit", "UnitIncompatible", "UnitUnknown", "UnitsSettings", "component"]


class UnitsSettings(Group):
    """The time of loading the table of units, which takes half a second."""

    group: ClassVar[str] = "units"
    preload: bool = Field(default=True, description="Load the table of units at the start.")


def component(settings: Settings) -> Component:
    """Load the table of units at the start if a field declares one, and check these."""

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        if settings.of(UnitsSettings).preload:
            await asyncio.to_thread(_check_all)
        yield {}

    return Component(name="units", lifespan=lifespan)


def _check_all() -> None:
    wrong = []
    for unit in sorted(Unit.declared):
        try:
            conversion.check(unit)
        except UnitUnknown:
            wrong.append(f"a field is declared in {unit}, and there is no such unit")
    if wrong:
        raise ConfigurationInvalid(*wrong)
