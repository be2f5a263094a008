"""The settings of the metrics."""

from typing import ClassVar

from pydantic import Field

from app.core.settings import Group, ProjectPaths, Secret


class PrometheusSettings(Group):
    """Whether metrics are kept, and who may read them where."""

    group: ClassVar[str] = "prometheus"
    enabled: bool = Field(default=True, description="Whether metrics are kept and served.")
    token: Secret | None = Field(
        None, description="The bearer token that /metrics asks for; unset: only private addresses are answered."
    )
    port: int | None = Field(
        None, ge=1, le=65535, description="A port of its own for /metrics; unset: it is served with everything else."
    )
    files: ProjectPaths = Field(
        (), description="Files in Prometheus' text format, whose metrics are served with those of the service."
    )
