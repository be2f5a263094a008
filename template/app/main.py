"""The composition root: it puts together what the core, the extensions and the features hand over."""

from collections.abc import Sequence

from app import extensions, features
from app.core import database, health
from app.core import settings as configuration
from app.core.component import Component, Process
from app.core.data.engine import DatabaseSettings
from app.core.health import HealthSettings
from app.core.http import lifecycle
from app.core.http.application import Service
from app.core.http.lifecycle import Lifecycle, LifecycleSettings
from app.core.http.security import HttpSettings
from app.core.observability import event_log, logging
from app.core.observability.access_log import AccessLog
from app.core.observability.logging import LogSettings
from app.core.server import protocol
from app.core.server.serve import ServerSettings
from app.core.settings import Group, ServiceSettings, Settings

CORE_GROUPS: list[type[Group]] = [
    ServiceSettings,
    ServerSettings,
    HttpSettings,
    LogSettings,
    HealthSettings,
    LifecycleSettings,
    DatabaseSettings,
]
GROUPS = [*CORE_GROUPS, *extensions.GROUPS, *features.GROUPS]


def load_settings() -> Settings:
    """The settings of every part, as the environment has them.

    Raises:
        ConfigurationInvalid: one line for each mistake.
    """
    return configuration.load(GROUPS)


def shipped(settings: Settings) -> list[Component]:
    """What the service is made of, outermost first."""
    core = [
        event_log.component(settings.of(LogSettings)),
        protocol.component(settings.of(HttpSettings)),
        database.component(settings),
    ]
    return [*core, *extensions.components(settings), *features.components(settings)]


def create_app(components: Sequence[Component] | None = None, settings: Settings | None = None) -> Service:
    """The service. Without arguments it is the one that is deployed."""
    settings = settings or load_settings()
    parts = shipped(settings) if components is None else components
    service, log = settings.of(ServiceSettings), settings.of(LogSettings)
    renderer = logging.configure(log, service=service.name, version=service.version, production=service.production)
    drain = settings.of(LifecycleSettings).drain
    current = Lifecycle(float(service.production) if drain is None else drain)
    checks = [check for component in parts for check in component.checks]
    return Service(
        [
            health.component(settings.of(HealthSettings), service.version, checks, current),  # matched last
            *parts,
            lifecycle.component(current),  # ready when all of them are open
        ],
        service=service,
        http=settings.of(HttpSettings),
        access=AccessLog(log, renderer),
        lifecycle=current,
    )


async def run(process: Process, components: Sequence[Component], settings: Settings) -> None:
    """Do one thing in place of serving, with everything open."""
    app = create_app(components, settings)
    async with app.router.lifespan_context(app) as state:
        await process(state or {})
