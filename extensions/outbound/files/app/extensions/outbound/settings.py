"""The settings of outbound calls, their errors and their events."""

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from app.core.errors import BadRequest, ExternalServiceFailed, ServiceUnavailable
from app.core.settings import Group, address
from app.core.telemetry import describe

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Limits(BaseModel):
    """The limits of calls."""

    timeout: float = Field(5.0, gt=0, description="Seconds for one attempt.")
    connect_timeout: float = Field(2.0, gt=0, description="Seconds for connecting.")
    deadline: float = Field(10.0, gt=0, description="Seconds for a call with all attempts and waits.")
    attempts: int = Field(3, ge=1, le=10, description="Attempts of a call that may be repeated.")
    backoff: float = Field(0.1, ge=0, description="Seconds before the second attempt; doubled each time, with jitter.")
    backoff_limit: float = Field(2.0, ge=0, description="The most seconds between two attempts.")
    failures: int = Field(5, ge=1, description="Consecutive failures that open the circuit breaker.")
    successes: int = Field(2, ge=1, description="Consecutive successes that close it.")
    recovery: float = Field(10.0, gt=0, description="Seconds until an open circuit breaker tries one call.")
    concurrency: int = Field(50, ge=1, description="Parallel calls to one service.")
    patience: float = Field(0.5, ge=0, description="Seconds that a call waits for a free place.")


class Policy(Limits):
    """The rules for calls to one service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[
        str, address({"http", "https"}, "https://billing.example.com/v1"), AfterValidator(lambda url: url or "")
    ] = ""
    anywhere: bool = False
    """Allows calls to other addresses than the URL."""


class OutboundSettings(Limits, Group):
    """The rules for every service that has no setting of its own."""

    group: ClassVar[str] = "outbound"
    services: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict,
        description="Settings of one service: `OUTBOUND__SERVICES__BILLING__URL`.",
    )
    _policies: dict[str, Policy] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _without_storage(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Ignore the settings of breakers that processes shared up to 0.3. This works until 0.6."""
        for name in given.keys() & {"storage_url", "storage_timeout"}:
            warnings.warn(f"OUTBOUND__{name.upper()} has no effect: remove it", DeprecationWarning, stacklevel=1)
        return {name: value for name, value in given.items() if name not in {"storage_url", "storage_timeout"}}

    @model_validator(mode="after")
    def _read_services(self) -> Self:
        defaults = self.policy("").model_dump()
        for service, own in self.services.items():
            try:
                self._policies[service] = Policy.model_validate({**defaults, **own})
            except ValidationError as error:
                mistake = error.errors(include_url=False, include_input=False)[0]
                variable = "__".join(("outbound", "services", service, str(mistake["loc"][0]))).upper()
                said = mistake["msg"].removeprefix("Value error, ")
                unknown = mistake["type"] == "extra_forbidden"
                raise ValueError(f"{variable}: {'unknown setting' if unknown else said}") from error
        return self

    def policy(self, service: str) -> Policy:
        return self._policies.get(service) or Policy.model_validate(self.model_dump(include=set(Limits.model_fields)))


class CallFailed(ExternalServiceFailed):
    """A called service failed, or took too long."""

    code = "call_failed"

    def __init__(self, service: str, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(headers={"Retry-After": str(max(1, round(retry_after)))} if retry_after is not None else {})
        self.service = service
        self.reason = reason
        """A status code or the name of an error: for logs, without any data of the request."""


class CircuitOpen(CallFailed):
    """A called service failed repeatedly, so no calls are sent."""

    code = "circuit_open"


class UrlRefused(BadRequest):
    """A call would leave the address of its service."""

    code = "url_refused"
    message = "this request names an address that is not allowed"


class UrlMissing(ServiceUnavailable):
    """A called service has no URL: its setting is missing."""

    code = "url_missing"
    message = "a service that this one needs is not configured"


class CallsExhausted(CallFailed):
    """Too many parallel calls to one service."""

    code = "calls_exhausted"


class CallFinished(NamedTuple):
    """A call to another service has ended. `outcome` is a status code or the name of an error."""

    service: str
    method: str
    outcome: str
    duration: float
    attempts: int = 1


class CallRetried(NamedTuple):
    """A call to another service is tried again. `reason` is a status code or the name of an error."""

    service: str
    method: str
    reason: str


class BreakerChanged(NamedTuple):
    """The circuit breaker before a service is now `closed` (calls pass), `half_open` (one call tries) or `open`."""

    service: str
    state: str

    @property
    def level(self) -> int:
        return ("closed", "half_open", "open").index(self.state)


_SERVICE = {"dependency": "service"}
_CALL = {**_SERVICE, "method": "method", "outcome": "outcome"}
describe(
    CallFinished,
    log=("info", "call finished"),
    counter=("external_calls_total", "Calls to other services, retries apart.", _CALL),
    histogram=("external_call_duration_seconds", "Time of a call, retries included.", _SERVICE, SECONDS),
    span=("http.client", "{0.method} {0.service}"),
)
describe(
    CallRetried,
    log=("debug", "call retried"),
    counter=("external_call_retries_total", "Calls tried again.", {**_SERVICE, "reason": "reason"}),
)
describe(
    BreakerChanged,
    log=("info", "breaker changed"),
    gauge=("external_breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open.", _SERVICE),
)
