"""Errors as RFC 9457 `application/problem+json`: those of the service, of FastAPI and of the database."""

import logging
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http.client import responses as phrases
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.routing import iter_route_contexts
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import compile_path

from app.core import context, errors
from app.core.data.statements import as_service_error
from app.core.errors import PROBLEM, ServiceError
from app.core.http import response_format

logger = logging.getLogger(__name__)

MOST_ERRORS = 50
"""A body of a thousand wrong items is answered with the first fifty."""

_BY_STATUS: dict[int, type[ServiceError]] = {
    error.status: error
    for error in reversed(ServiceError.__subclasses__())  # the first one of a status
    if error.__module__ == errors.__name__ and error.status not in {500, 504}  # those say more than the status does
}


class FieldError(BaseModel):
    """An error of one field."""

    field: str
    message: str
    code: str


class Problem(response_format.Failure):
    """An error response (RFC 9457); `correlation_id` finds it in the log."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FieldError]
    correlation_id: str
    timestamp: datetime


class InternalError(ServiceError):
    """Unexpected error; the log has its `correlation_id`."""

    code = "internal_error"
    status = 500
    message = "something went wrong here: the log has it under this correlation id"


def body(error: ServiceError, path: str) -> bytes:
    """Return the problem document of an error, and note its code for the access record."""
    request = context.current()
    if request and not request.status:  # the record has the code of the first response
        request.code = error.code
    document = {
        "type": f"urn:problem-type:{error.code.replace('_', '-')}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "instance": quote(path, safe="/:@!$&'()*+,;=~-._"),
        "code": error.code,
        "errors": error.errors,
        "correlation_id": request.correlation_id if request else "",
        "timestamp": datetime.now(UTC),
        **response_format.failure(error.message, error.status),
    }
    if error.details:
        document["details"] = error.details
    return orjson.dumps(document, default=str, option=orjson.OPT_UTC_Z)


def response(error: ServiceError, path: str) -> Response:
    return Response(body(error, path), status_code=error.status, media_type=PROBLEM, headers=error.headers)


def stored_in_part() -> errors.OutcomeUnknown:
    """Return the error of a request that fails, or takes too long, after its first transaction is committed."""
    return errors.OutcomeUnknown("a part of this may be stored, and the rest failed: read what is stored first")


def install(app: FastAPI) -> None:
    """Answer every error of the application in this format."""
    app.exception_handler(ServiceError)(_service_error)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(WebSocketRequestValidationError)(_handshake_error)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(SQLAlchemyError)(_database_error)
    app.exception_handler(Exception)(_unexpected)


async def _service_error(request: Request, error: ServiceError) -> Response:
    if error.status == 503 and (known := context.current()) and known.stored:
        away, error = error, stored_in_part()
        error.__cause__ = away
    if error.status in {503, 504}:  # a backend is unavailable, for a thousand requests a second: no traceback for each
        logger.warning("%s: %s%s", error.code, error.message, _cause(error))
    elif error.status >= 500:
        logger.warning("%s: %s", error.code, error.message, exc_info=error.__cause__)
    elif error.status == 422 and isinstance(error.__cause__, SQLAlchemyError | OverflowError):
        statement = getattr(error.__cause__, "statement", None)  # without its values, which may be secrets
        fields = [entry["field"] for entry in error.errors]
        logger.warning("%s by the database", error.code, extra={"statement": statement, "fields": fields})
    return response(error, request.url.path)


def _cause(error: BaseException) -> str:
    """Return the first line of the error that caused it, in brackets."""
    if error.__cause__ is None:
        return ""
    said, _, _ = str(error.__cause__).partition("\n")
    return f" ({said})" if said else _cause(error.__cause__) or f" ({type(error.__cause__).__name__})"


async def _database_error(request: Request, error: SQLAlchemyError) -> Response:
    if known := as_service_error(error):
        return await _service_error(request, known)
    raise error


async def _unexpected(_: Request, error: Exception) -> Response:
    raise error  # the request middleware answers: without this handler the answer would be text/plain


async def _http_error(request: Request, error: HTTPException) -> Response:
    if not is_body_allowed_for_status_code(error.status_code):  # 204 and 304 are answers without a body, not errors
        return Response(status_code=error.status_code, headers=error.headers)
    phrase = phrases.get(error.status_code, "Error")
    known = _BY_STATUS.get(error.status_code, ServiceError)
    headers = dict(error.headers or {})
    if known is errors.MethodNotAllowed:
        headers["Allow"] = _allowed(request)
    said: Any = error.detail  # annotated as a text, but FastAPI takes any JSON
    structured = isinstance(said, Mapping | list)
    problem = known(None if structured or said == phrase else str(said), headers=headers)
    if structured:
        problem.details = said
    if known is ServiceError:  # a status without a class of its own
        code = "_".join(re.findall("[a-z]+", phrase.lower()))
        problem.message = phrase if structured else problem.message
        vars(problem).update(status=error.status_code, title=phrase.capitalize(), code=code)
    return response(problem, request.url.path)


def _allowed(request: Request) -> str:
    """Return all methods of a path (RFC 9110, 10.2.1): the router names only those of the first route."""
    path = known.path if (known := context.current()) else request.scope["path"]
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path and route.methods and compile_path(route.path)[0].match(path):
            found |= route.methods | ({"HEAD"} if "GET" in route.methods else set())
    return ", ".join(sorted(found))


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    mistakes = error.errors()
    if any(mistake["type"] == "json_invalid" for mistake in mistakes):
        return response(errors.BadRequest("the body is not valid JSON", errors=_fields(mistakes)), request.url.path)
    # FastAPI passes a body of another content type on as bytes: the error is then about the body as a whole.
    if isinstance(error.body, bytes) and any(tuple(mistake["loc"]) == ("body",) for mistake in mistakes):
        return response(errors.UnsupportedMediaType(), request.url.path)
    return response(errors.ValidationFailed(errors=_fields(mistakes)), request.url.path)


async def _handshake_error(request: HTTPConnection, error: WebSocketRequestValidationError) -> Response:
    return response(errors.ValidationFailed(errors=_fields(error.errors())), request.url.path)


def _fields(mistakes: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the errors field by field, without the input: it may be a password."""
    found = []
    for mistake in list(mistakes)[:MOST_ERRORS]:
        kind = str(mistake["type"])
        place = ".".join(str(part)[:100] for part in mistake["loc"])
        message = "does not name a known kind" if kind == "union_tag_invalid" else str(mistake["msg"])
        found.append({"field": place, "message": message.removeprefix("Value error, "), "code": kind})
    return found
