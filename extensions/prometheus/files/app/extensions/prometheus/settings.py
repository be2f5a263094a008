"""The settings of the metrics."""

from typing import ClassVar

from pydantic import Field

from app.core.settings import Group, ProjectPaths, Secret


class PrometheusSettings(Group):
    """Whether metrics are kept, and who may read them where."""

    group: ClassVar[str] = "prometheus"
    enabled: bool = Field(default=True, description="Whether metrics are collected and served.")
    token: Secret | None = Field(
        None, description="The bearer token for /metrics; unset: only private addresses are answered."
    )
    port: int | None = Field(None, ge=1, le=65535, description="A separate port for /metrics.")
    files: ProjectPaths = Field((), description="Files with more metrics in Prometheus' text format.")
