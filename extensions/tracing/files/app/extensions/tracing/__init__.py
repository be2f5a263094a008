"""Tracing: requests, statements and calls as OpenTelemetry spans, sent over OTLP."""

from app.core.component import Component
from app.core.settings import ServiceSettings, Settings
from app.extensions.tracing.settings import TracingSettings

__all__ = ["TracingSettings", "component"]


def component(settings: Settings) -> Component:
    """Record spans while the service is open; without an endpoint nothing is imported."""
    mine = settings.of(TracingSettings)
    if mine.endpoint is None:
        return Component(name="tracing")
    from app.extensions.tracing.recorder import recorder  # 0.5 s that a service without an endpoint saves

    return recorder(mine, settings.of(ServiceSettings))
