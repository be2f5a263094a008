"""Your slices, one folder per noun: list their settings groups and their components here."""

from app.core.component import Component
from app.core.settings import Group, Settings

GROUPS: list[type[Group]] = []


def components(_: Settings) -> list[Component]:
    """What each slice adds to the service. The last one's routes are matched first."""
    return []
