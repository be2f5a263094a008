"""The errors of the service: each is one fact, with its status, its code and its OpenAPI schema."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

PROBLEM = "application/problem+json"


class ServiceError(Exception):
    """An error that the caller is told. Subclass one below for a fact of your own, and give it a `code`."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "service_error"
    """The name of the fact for clients. It stays when the class is renamed."""
    title: ClassVar[str] = "Service error"
    message: str = "the service could not do this"

    def __init_subclass__(cls) -> None:
        if "code" not in vars(cls):  # as in the first releases: OrderNotFound is order_not_found
            cls.code = "_".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", cls.__name__)).lower()
        cls.title = cls.code.replace("_", " ").capitalize()

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
        """Return this error for `responses=` of a route."""
        return problems(cls)


class BadRequest(ServiceError):
    status = 400
    code = "bad_request"
    message = "the request cannot be read"


class AuthenticationFailed(ServiceError):
    status = 401
    code = "authentication_failed"
    message = "credentials are missing or wrong"


class PermissionDenied(ServiceError):
    status = 403
    code = "permission_denied"
    message = "this is not allowed"


class NotFound(ServiceError):
    status = 404
    code = "not_found"
    message = "there is nothing here"


class MethodNotAllowed(ServiceError):
    status = 405
    code = "method_not_allowed"
    message = "this path does not answer to this method"


class RequestTimedOut(ServiceError):
    status = 408
    code = "request_timed_out"
    message = "the request took too long to arrive"


class Conflict(ServiceError):
    status = 409
    code = "conflict"
    message = "this contradicts what is stored"


class PreconditionFailed(ServiceError):
    """`If-Match` names an old version (RFC 9110, 13.1.1)."""

    status = 412
    code = "precondition_failed"
    message = "someone else changed this: read it again and repeat the change"


class BodyTooLarge(ServiceError):
    status = 413
    code = "body_too_large"
    message = "the body is too large"


class UnsupportedMediaType(ServiceError):
    status = 415
    code = "unsupported_media_type"
    message = "the body has to be application/json"


class ValidationFailed(ServiceError):
    status = 422
    code = "validation_failed"
    message = "the request has values that are not acceptable"


class BusinessRuleViolated(ServiceError):
    status = 422
    code = "business_rule_violated"
    message = "a rule forbids this"


class PreconditionRequired(ServiceError):
    """A change requires `If-Match` (RFC 6585, 3)."""

    status = 428
    code = "precondition_required"
    message = "send the ETag that you read as If-Match"


class HeadersTooLarge(ServiceError):
    status = 431
    code = "headers_too_large"
    message = "the headers are too large"


class RateLimited(ServiceError):
    status = 429
    code = "rate_limited"
    message = "too many requests"


class ExternalServiceFailed(ServiceError):
    status = 502
    code = "external_service_failed"
    message = "a service that this one needs failed"


class ServiceUnavailable(ServiceError):
    """Try again as `Retry-After` says."""

    status = 503
    code = "service_unavailable"
    message = "the service cannot do this right now, try again"

    def __init__(self, message: str | None = None, *, retry_after: int = 1, **more: Any) -> None:
        super().__init__(message, **more)
        self.headers.setdefault("Retry-After", str(retry_after))


class FollowUpFailed(ServiceError):
    """The data is stored, and a later step failed. A retry would store it twice."""

    status = 500
    code = "follow_up_failed"
    message = "this is stored, but something that follows it failed: read what is stored before you repeat it"


class OutcomeUnknown(ServiceError):
    """The data may be stored: the connection was lost during the commit. A retry may store it twice."""

    status = 504
    code = "outcome_unknown"
    message = "it is unknown whether this was stored: read what is stored before you repeat it"


class ConfigurationInvalid(ServiceError):
    """The service cannot start with these settings: one line for each mistake. Never an answer to a request."""

    code = "configuration_invalid"

    def __init__(self, *mistakes: str, exit_status: int = 2) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes
        self.exit_status = exit_status
        """Of the process: 3 if another start may succeed, without other settings."""


def problems(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route for its `responses=`. Errors of one status share an entry."""
    answers: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        entry = answers.setdefault(error.status, {"description": "", "content": {PROBLEM: content}})
        if error.status in {429, 503}:
            entry["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
        said = (error.__doc__ or f"{error.message[:1].upper()}{error.message[1:]}.").splitlines()[0]
        entry["description"] = f"{entry['description']} {said}".lstrip()
        example = {"title": error.title, "status": error.status, "detail": error.message, "code": error.code}
        entry["content"][PROBLEM]["examples"][error.code] = {"value": example}
    return answers
