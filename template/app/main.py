"""The composition root: it builds the application from the core, the extensions and the features."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import structlog

from app import extensions, features
from app.core import database, health
from app.core import settings as configuration
from app.core.component import Component, Process
from app.core.data.engine import DatabaseSettings
from app.core.errors import ConfigurationInvalid
from app.core.health import HealthSettings
from app.core.http.application import Service
from app.core.http.lifecycle import Lifecycle, LifecycleSettings
from app.core.http.security import HttpSettings
from app.core.http.websockets import WebSocketSettings
from app.core.observability import access_log, logging
from app.core.observability.logging import LogSettings
from app.core.observability.redaction import Scrubbed, scrub
from app.core.server.serve import ServerSettings
from app.core.settings import Group, ServiceSettings, Settings

CORE_SETTINGS: list[type[Group]] = [
    ServiceSettings,
    ServerSettings,
    HttpSettings,
    WebSocketSettings,
    LogSettings,
    HealthSettings,
    LifecycleSettings,
    DatabaseSettings,
]


def _settings_of_features() -> list[type[Group]]:
    if not hasattr(features, "SETTINGS"):
        message = "app.main reads SETTINGS of app.features: rename GROUPS there, the old name works until 0.6"
        warnings.warn(message, DeprecationWarning, stacklevel=1)
    return getattr(features, "SETTINGS", None) or getattr(features, "GROUPS", [])


SETTINGS = [*CORE_SETTINGS, *extensions.SETTINGS, *_settings_of_features()]


def load_settings() -> Settings:
    """Load the settings of every part from the environment. In development, start the servers whose URL is missing.

    Raises:
        ConfigurationInvalid: one line for each mistake.
    """
    if (configuration.PROJECT / "dev" / "servers").is_dir():  # no deployment has it
        import_module("dev.__main__").serve_development()
    return configuration.load(SETTINGS)


def default_components(settings: Settings) -> list[Component]:
    """Return the components of the deployed service, outermost first."""
    core = [access_log.component(settings.of(LogSettings)), database.component(settings)]
    return [*core, *extensions.components(settings), *features.components(settings)]


def create_app(components: Sequence[Component] | None = None, settings: Settings | None = None) -> Service:
    """Build the application; without arguments, the one that is deployed."""
    settings = settings or load_settings()
    parts = default_components(settings) if components is None else components
    service, log = settings.of(ServiceSettings), settings.of(LogSettings)
    logging.configure(log, service=service.name, version=service.version, production=service.production)
    drain = settings.of(LifecycleSettings).drain
    current = Lifecycle(float(service.production) if drain is None else drain)
    checks = [check for component in parts for check in component.checks]
    first = health.component(settings.of(HealthSettings), service.version, checks, current)  # its routes match last
    last = Component(name="lifecycle", lifespan=current.lifespan)  # ready when all others are open
    return Service([first, *parts, last], settings, current)


def served() -> Service:
    """Build the application for a server that imports it. A wrong setting is one line, and ends the process."""
    try:
        return create_app()
    except ConfigurationInvalid as error:
        sys.exit(refuse(error))


def refuse(error: ConfigurationInvalid) -> int:
    """Log each mistake, in the format of the logs here. Return the exit status."""
    try:
        service = configuration.load([ServiceSettings]).of(ServiceSettings)
    except ConfigurationInvalid:
        service = ServiceSettings(name="", version="")
    logging.configure(LogSettings(), service=service.name, version=service.version, production=service.production)
    for mistake in error.mistakes:
        variable, colon, said = mistake.partition(":")
        # Scrubbed apart from the name: the text after the name of a secret is taken for the secret itself.
        structlog.get_logger("settings").error(Scrubbed(f"{variable}{colon}{scrub(said)}"))
    return error.exit_status


async def run(process: Process, components: Sequence[Component], settings: Settings) -> None:
    """Run a process other than the server, with all components open."""
    app = create_app(components, settings)
    async with app.router.lifespan_context(app) as state:
        await process(state or {})


def __getattr__(name: str) -> Any:
    if name == "app":  # `uvicorn app.main:app`
        return served()
    if name != "shipped":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("app.main.shipped is now default_components", DeprecationWarning, stacklevel=2)
    return default_components
