"""The errors that a key may meet."""

from app.core.errors import BadRequest, Conflict, ValidationFailed


class IdempotencyKeyInvalid(BadRequest):
    """The key is malformed."""

    message = "an Idempotency-Key has 1 to 255 visible ASCII characters"


class IdempotencyKeyReused(ValidationFailed):
    """The key was used for another request."""

    message = "this Idempotency-Key was sent with another request: make a new key for a new request"


class RequestInProgress(Conflict):
    """The same request is being carried out."""

    message = "this request is being carried out: ask again for its answer"


class AnswerNotKept(Conflict):
    """The request was carried out, but its response is lost."""

    message = "this request was carried out, but its answer was not kept: read what it was about"
