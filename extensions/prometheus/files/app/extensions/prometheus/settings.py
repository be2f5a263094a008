"""The settings of the metrics, and the event that features emit for language models."""

from typing import ClassVar, NamedTuple

from pydantic import Field

from app.core.settings import Group, ProjectPaths, Secret
from app.core.telemetry import describe


class PrometheusSettings(Group):
    """The place of the metrics, and their readers."""

    group: ClassVar[str] = "prometheus"
    enabled: bool = Field(default=True, description="Collect and serve metrics.")
    token: Secret | None = Field(
        None, description="The bearer token for /metrics; unset: only private addresses are answered."
    )
    port: int | None = Field(None, ge=1, le=65535, description="A separate port for /metrics.")
    files: ProjectPaths = Field((), description="Files with more metrics in Prometheus' text format.")


class TokensUsed(NamedTuple):
    """A language model has answered. `cost` in US dollars."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: float = 0.0


describe(TokensUsed, log=("info", "tokens used"))
