"""Sentry: unexpected errors, and optionally the durations of requests, with their ids."""

from app.core.component import Component
from app.core.settings import ServiceSettings, Settings
from app.extensions.sentry.settings import SentrySettings

__all__ = ["SentrySettings", "component"]


def component(settings: Settings) -> Component:
    """Report while the service is open; without a DSN nothing is imported."""
    mine = settings.of(SentrySettings)
    if mine.dsn is None:
        return Component(name="sentry")
    from app.extensions.sentry.reporter import reporter  # 0.2 s that a service without a DSN saves

    return reporter(mine, settings.of(ServiceSettings))
