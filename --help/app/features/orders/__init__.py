"""Orders: a sample feature. Read it, copy it, delete it (with its tests and its migration)."""

from app.core.component import Component
from app.features.orders.router import router


def component() -> Component:
    """Return this feature as a part of the service."""
    return Component(name="orders", routers=[router])
