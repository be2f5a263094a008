"""The settings of idempotency keys, and their errors."""

from typing import Annotated, ClassVar

from pydantic import Field

from app.core.errors import BadRequest, Conflict, ValidationFailed
from app.core.settings import CommaSeparated, Group, Paths, matching


class IdempotencySettings(Group):
    """The paths of idempotency keys, and how long answers are stored."""

    group: ClassVar[str] = "idempotency"
    paths: Paths = Field(("/api",), description="Paths below which keys apply.")
    headers: Annotated[CommaSeparated, matching(r"[A-Za-z0-9-]+", "is no name of a header")] = Field(
        (), description="More request headers that distinguish requests."
    )
    keep: float = Field(86_400.0, gt=0, description="Seconds that a response is kept.")
    lease: float = Field(60.0, gt=0, description="Seconds until an unanswered request may be repeated.")
    answer_limit: int = Field(262_144, ge=0, description="The largest response body in bytes that is kept.")
    cleanup_interval: float = Field(600.0, gt=0, description="Seconds between two cleanups.")


class IdempotencyKeyInvalid(BadRequest):
    code = "idempotency_key_invalid"
    message = "an Idempotency-Key has 1 to 255 visible ASCII characters"


class IdempotencyKeyReused(ValidationFailed):
    code = "idempotency_key_reused"
    message = "this Idempotency-Key was sent with another request: use a new key for a new request"


class RequestInProgress(Conflict):
    code = "request_in_progress"
    message = "this request is being processed: send it again for its answer"


class AnswerNotKept(Conflict):
    code = "answer_not_kept"
    message = "this request was processed, but its answer was not stored: read the data that it changed"
