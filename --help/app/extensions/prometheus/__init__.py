"""Prometheus: the metrics of the service at /metrics, and `TokensUsed` for calls of language models."""

from app.core.component import Component
from app.core.settings import Settings
from app.extensions.prometheus.settings import PrometheusSettings, TokensUsed

__all__ = ["PrometheusSettings", "TokensUsed", "component"]


def component(settings: Settings) -> Component:
    """Count while the service is open; with ENABLED=false nothing is imported or served."""
    if not settings.of(PrometheusSettings).enabled:
        return Component(name="prometheus")
    from app.extensions.prometheus.exporter import exporter  # 30 ms that a service without metrics saves

    return exporter(settings)
