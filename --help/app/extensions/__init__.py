"""The enabled extensions, outermost first: generated from your answers at each `copier update`."""

from app.core.component import Component
from app.core.settings import Group, Settings
from app.extensions import (
    outbound,
    prometheus,
    rate_limit,
    sentry,
)

SETTINGS: list[type[Group]] = [
    prometheus.PrometheusSettings,
    sentry.SentrySettings,
    rate_limit.RateLimitSettings,
    outbound.OutboundSettings,
]


def components(settings: Settings) -> list[Component]:
    """Return the component of each extension."""
    return [
        prometheus.component(settings),
        sentry.component(settings),
        rate_limit.component(settings),
        outbound.component(settings),
    ]
