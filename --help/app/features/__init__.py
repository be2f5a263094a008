"""Your features, one folder per noun: list their settings groups and their components here."""

from app.core.component import Component
from app.core.settings import Group, Settings
from app.features import orders

SETTINGS: list[type[Group]] = []


def components(_: Settings) -> list[Component]:
    """Return each feature. The routes of the last one are matched first."""
    return [orders.component()]
