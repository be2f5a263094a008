"""The settings of tracing."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr, field_validator

from app.core.settings import CommaSeparated, Group, address


def _networks(given: tuple[str, ...]) -> tuple[str, ...]:
    for one in given:
        ip_network(one, strict=False)
    return given


class TracingSettings(Group):
    """The destination of spans, and their share."""

    group: ClassVar[str] = "tracing"
    endpoint: Annotated[str | None, Field(pattern=r"^[^?]*$"), address({"http", "https"}, "http://collector:4318")] = (
        Field(None, description="The OTLP/HTTP endpoint, without /v1/traces; unset: off.")
    )
    headers: SecretStr | None = Field(None, description="Headers for the endpoint: name=value, comma-separated.")
    sample_rate: float = Field(
        1.0, ge=0, le=1, description="The share of requests recorded, unless a trusted caller decides."
    )
    trusted_callers: Annotated[CommaSeparated, AfterValidator(_networks)] = Field(
        (), description="Addresses and networks of trusted callers."
    )
    flush_interval: float = Field(5.0, gt=0, description="Seconds between two exports.")
    timeout: float = Field(5.0, gt=0, description="Seconds for one export.")
    shutdown_timeout: float = Field(2.0, ge=0, description="Seconds to send waiting spans on a stop.")

    @field_validator("headers")
    @classmethod
    def _are_pairs(cls, headers: SecretStr | None) -> SecretStr | None:
        given = headers.get_secret_value() if headers else ""
        if not all(pair.partition("=")[0].strip() and "=" in pair for pair in given.split(",") if given):
            raise ValueError("has to look like name=value,name=value")
        return headers

    def header_map(self) -> Mapping[str, str]:
        given = self.headers.get_secret_value() if self.headers else ""
        pairs = (pair.partition("=") for pair in given.split(",") if pair)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}
