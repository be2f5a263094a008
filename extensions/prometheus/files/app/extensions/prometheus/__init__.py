"""Prometheus: what the service does, as numbers, at /metrics."""

from app.core.component import Component
from app.core.settings import Settings
from app.extensions.prometheus.settings import PrometheusSettings

__all__ = ["PrometheusSettings", "component"]


def component(settings: Settings) -> Component:
    """Counts while the service is open; with ENABLED=false nothing is imported, listened to or served."""
    if not settings.of(PrometheusSettings).enabled:
        return Component(name="prometheus")
    from app.extensions.prometheus.exporter import exporter  # 30 ms that a service without metrics saves

    return exporter(settings)
