"""The settings of outbound calls: what holds for every service, and what for one."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from app.core.settings import Group, address


class Policy(BaseModel):
    """How one service is called. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field("", pattern=r"^(https?://[^\s/]+\S*)?$")
    timeout: float = Field(5.0, gt=0)
    connect_timeout: float = Field(2.0, gt=0)
    deadline: float = Field(10.0, gt=0)
    attempts: int = Field(3, ge=1, le=10)
    backoff: float = Field(0.1, ge=0)
    backoff_limit: float = Field(2.0, ge=0)
    failures: int = Field(5, ge=1)
    successes: int = Field(2, ge=1)
    recovery: float = Field(10.0, gt=0)
    concurrency: int = Field(50, ge=1)
    patience: float = Field(0.5, ge=0)


class OutboundSettings(Group):
    """What holds for every service that has no setting of its own."""

    group: ClassVar[str] = "outbound"
    timeout: float = Field(5.0, gt=0, description="Seconds for one attempt.")
    connect_timeout: float = Field(2.0, gt=0, description="Seconds for connecting.")
    deadline: float = Field(10.0, gt=0, description="Seconds for a call with all attempts and waits.")
    attempts: int = Field(3, ge=1, le=10, description="Attempts of a call that may be repeated.")
    backoff: float = Field(
        0.1, ge=0, description="Seconds before the second attempt; doubled for each further one, with jitter."
    )
    backoff_limit: float = Field(2.0, ge=0, description="The most seconds between two attempts.")
    failures: int = Field(5, ge=1, description="Consecutive failures that open the circuit breaker.")
    successes: int = Field(2, ge=1, description="Consecutive successes that close it.")
    recovery: float = Field(10.0, gt=0, description="Seconds until an open circuit breaker tries one call.")
    concurrency: int = Field(50, ge=1, description="Parallel calls to one service.")
    patience: float = Field(0.5, ge=0, description="Seconds that a call waits for a free place.")
    services: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict,
        description="Settings of one service: `OUTBOUND__SERVICES__BILLING__URL`.",
    )
    storage_url: Annotated[str | None, address({"redis", "rediss"}, "redis://host:6379/0")] = Field(
        None,
        repr=False,
        description="A Redis server through which all processes share breakers: redis://:password@host:6379/0.",
    )
    storage_timeout: float = Field(0.3, gt=0, description="Seconds until each process uses its own breakers.")
    _policies: dict[str, Policy] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _read_services(self) -> Self:
        for service, own in self.services.items():
            try:
                self._policies[service] = Policy.model_validate({**self._defaults, **own})
            except ValidationError as error:
                mistake = error.errors(include_url=False, include_input=False)[0]
                variable = "__".join(("outbound", "services", service, str(mistake["loc"][0]))).upper()
                unknown = mistake["type"] == "extra_forbidden"
                raise ValueError(f"{variable}: {'unknown setting' if unknown else mistake['msg']}") from error
        return self

    @property
    def _defaults(self) -> dict[str, Any]:
        return self.model_dump(include=set(Policy.model_fields))

    def policy(self, service: str) -> Policy:
        """How a service is called."""
        return self._policies.get(service) or Policy.model_validate(self._defaults)
