"""The settings of the metrics, and the event that features emit for language models."""

from typing import ClassVar, NamedTuple

from pydantic import Field

from app.core.settings import Group, ProjectPaths, Secret
from app.core.telemetry import describe


class PrometheusSettings(Group):
    """The place of the metrics, and their readers."""

    group: ClassVar[str] = "prometheus"
    enabled: bool = Field(default=True, description="Keep and serve metrics.")
    token: Secret | None = Field(
        None, description="The bearer token of /metrics; unset: only private addresses may read it."
    )
    port: int | None = Field(
        None, ge=1, le=65535, description="A port of its own for /metrics; unset: it is served with all other routes."
    )
    files: ProjectPaths = Field(
        (), description="Files in the Prometheus text format, whose metrics are served with those of the service."
    )


class TokensUsed(NamedTuple):
    """A language model has answered. `cost` in US dollars."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: float = 0.0


describe(TokensUsed, log=("info", "tokens used"))
