"""The settings of units."""

from typing import ClassVar

from pydantic import Field

from app.core.settings import Group


class UnitsSettings(Group):
    """The time of loading the table of units, which takes half a second."""

    group: ClassVar[str] = "units"
    preload: bool = Field(default=True, description="Load the table of units at the start.")
