"""Events on their way out: the ids of their request go along, and nothing that was sent to the service does."""

import os
from typing import Any

from sentry_sdk.types import Event

from app.core import context
from app.core.observability.redaction import redact, scrub


def completed(event: Event, _: Any) -> Event:
    """The event with whose request it was, and without secrets.

    Of an error's message the first line stays: what libraries put below it is the values that they were given.
    """
    errors: Any = event.pop("exception", {})
    for error in errors.get("values", ()):
        error["value"] = scrub((error.get("value") or "").partition("\n")[0])
    clean: Any = redact(event)
    if errors:
        clean["exception"] = errors
    request = context.current()
    if request is None:
        return clean  # type: ignore[no-any-return]
    clean["tags"] = {**clean.get("tags", {}), "correlation_id": request.correlation_id, "trace_id": request.trace_id}
    if request.method:  # a job has the ids of a request, and is none
        clean["request"] = {"method": request.method, "url": request.path}
    if request.principal is not None:
        clean["user"] = {"id": request.principal}
    if clean.get("type") != "transaction":
        clean.setdefault("contexts", {})["trace"] = {
            "trace_id": request.trace_id,
            "span_id": request.span_id or os.urandom(8).hex(),
        }
    return clean  # type: ignore[no-any-return]
