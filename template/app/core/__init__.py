"""What is true of every service: nothing in here knows an extension or a feature."""

from app.core import database, events, protocol
from app.core.component import Component
from app.core.engine import DatabaseSettings
from app.core.health import HealthSettings
from app.core.lifecycle import LifecycleSettings
from app.core.logging import LogSettings
from app.core.security import HttpSettings
from app.core.server import ServerSettings
from app.core.service import ServiceSettings
from app.core.settings import Group, Settings

GROUPS: list[type[Group]] = [
    ServiceSettings,
    ServerSettings,
    HttpSettings,
    LogSettings,
    HealthSettings,
    LifecycleSettings,
    DatabaseSettings,
]


def components(settings: Settings) -> list[Component]:
    """What the core adds to the service."""
    return [
        events.component(settings.of(LogSettings)),
        protocol.component(settings.of(HttpSettings)),
        database.component(settings),
    ]
