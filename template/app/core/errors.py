"""The errors that the service knows: each is one fact, with its status, its code and its OpenAPI schema."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

PROBLEM = "application/problem+json"


class ServiceError(Exception):
    """An error that the caller is told. Subclass one below for a fact of your own; its name becomes its code."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "service_error"
    title: ClassVar[str] = "Service error"
    message: str = "the service could not do this"

    def __init_subclass__(cls) -> None:
        words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", cls.__name__)
        cls.code = "_".join(words).lower()
        cls.title = " ".join(words).capitalize()

    def __init__(
        self,
        message: str | None = None,
        *,
        field: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message or self.message
        self.errors = [*errors, *([{"field": field, "message": self.message, "code": self.code}] if field else [])]
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        super().__init__(self.message)

    @classmethod
    def schema(cls) -> dict[int | str, dict[str, Any]]:
        """This error for `responses=` of a route."""
        return problems(cls)


class BadRequest(ServiceError):
    """The request is malformed."""

    status = 400
    message = "the request cannot be read"


class AuthenticationFailed(ServiceError):
    """Authentication is missing or wrong."""

    status = 401
    message = "credentials are missing or wrong"


class PermissionDenied(ServiceError):
    """The caller lacks the permission."""

    status = 403
    message = "this is not allowed"


class NotFound(ServiceError):
    """The resource does not exist."""

    status = 404
    message = "there is nothing here"


class MethodNotAllowed(ServiceError):
    """The path exists, the method does not."""

    status = 405
    message = "this path does not answer to this method"


class RequestTimedOut(ServiceError):
    """The client sent its request too slowly."""

    status = 408
    message = "the request took too long to arrive"


class Conflict(ServiceError):
    """Conflicts with the current state of the resource."""

    status = 409
    message = "this contradicts what is stored"


class PreconditionFailed(ServiceError):
    """`If-Match` names an old version (RFC 9110, 13.1.1)."""

    status = 412
    message = "somebody else changed this: read it again and repeat the change"


class BodyTooLarge(ServiceError):
    """The body is larger than this route allows."""

    status = 413
    message = "the body is too large"


class UnsupportedMediaType(ServiceError):
    """The route does not read this type of body."""

    status = 415
    message = "the body has to be application/json"


class ValidationFailed(ServiceError):
    """A value of the request is not valid."""

    status = 422
    message = "the request has values that are not acceptable"


class BusinessRuleViolated(ServiceError):
    """A business rule forbids it."""

    status = 422
    message = "a rule forbids this"


class PreconditionRequired(ServiceError):
    """A change requires `If-Match` (RFC 6585, 3)."""

    status = 428
    message = "send the ETag that you read as If-Match"


class HeadersTooLarge(ServiceError):
    """The headers are too large."""

    status = 431
    message = "the headers are too large"


class RateLimited(ServiceError):
    """The caller sent too many requests."""

    status = 429
    message = "too many requests"


class ExternalServiceFailed(ServiceError):
    """A service that this one calls failed."""

    status = 502
    message = "a service that this one needs failed"


class ServiceUnavailable(ServiceError):
    """Try again as `Retry-After` says."""

    status = 503
    message = "the service cannot do this right now, try again"

    def __init__(self, message: str | None = None, *, retry_after: int = 1, **more: Any) -> None:
        super().__init__(message, **more)
        self.headers.setdefault("Retry-After", str(retry_after))


class FollowUpFailed(ServiceError):
    """The data is stored, and a later step failed. A retry would store it twice."""

    status = 500
    message = "this is stored, but something that follows it failed: read what is stored before you repeat it"


class OutcomeUnknown(ServiceError):
    """The data may be stored: the connection was lost during the commit. A retry may store it twice."""

    status = 504
    message = "it is unknown whether this was stored: read what is stored before you repeat it"


class ConfigurationInvalid(ServiceError):
    """The service cannot start as it is configured. Never an answer to a request: one line for each mistake."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def problems(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides success, for its `responses=`: errors of one status share an entry."""
    answers: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        entry = answers.setdefault(
            error.status,
            {
                "description": "",
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        entry["description"] = " ".join(
            filter(None, (entry["description"], (error.__doc__ or error.title).splitlines()[0]))
        )
        example = {"title": error.title, "status": error.status, "detail": error.message, "code": error.code}
        entry["content"][PROBLEM]["examples"][error.code] = {"value": example}
    return answers
