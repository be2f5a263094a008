"""A slice that takes files from anybody."""

from app.core.component import Component
from app.extensions.uploads import routes


def component() -> Component:
    """What this slice adds."""
    return Component(name="documents", routers=[routes("documents")])
