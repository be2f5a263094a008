"""The response format: each answer in an envelope, and problems with the same members."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial, wraps
from http.client import responses as phrases
from inspect import Parameter, isasyncgenfunction, isclass, iscoroutinefunction, isgeneratorfunction
from typing import Any, Generic, Literal, TypeVar

from fastapi import Response
from fastapi.datastructures import Default, DefaultPlaceholder
from fastapi.dependencies.utils import get_typed_return_annotation, get_typed_signature
from fastapi.responses import JSONResponse
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app.core import context
from app.core.http import endpoints
from app.core.pagination import CursorPage, Links, Page

__all__ = ["Envelope", "Failure", "Router", "failure"]

DataT = TypeVar("DataT")
MetadataT = TypeVar("MetadataT")


class Metadata(BaseModel):
    """The metadata of an answer; `correlation_id` finds it in the log."""

    correlation_id: str


class PageMetadata(Metadata):
    """The page of the list in `data`, and the links to others."""

    page: int
    size: int
    total: int
    pages: int
    links: Links


class CursorMetadata(Metadata):
    """The links to the next page; `cursor` is absent at the end."""

    size: int
    cursor: str | None
    links: Links


class Envelope(BaseModel, Generic[DataT, MetadataT]):
    """A successful answer."""

    success: Literal[True]
    message: str
    data: DataT
    errors: tuple[()]
    metadata: MetadataT
    timestamp: datetime
    status_code: int


class Failure(BaseModel):
    """The members of a problem beside those of RFC 9457."""

    success: Literal[False]
    message: str
    data: None
    metadata: Metadata
    status_code: int


def failure(message: str, status: int) -> dict[str, Any]:
    """Return these members for one problem."""
    return {"success": False, "message": message, "data": None, "metadata": _metadata(), "status_code": status}


class Router(endpoints.Router):
    """A router that puts the results of endpoints into envelopes. A `Response` stays as it is."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add a route, as APIRouter does."""
        declared = options.get("response_model", Default(None))
        if isinstance(declared, DefaultPlaceholder):
            annotated = "return" in getattr(endpoint, "__annotations__", ())
            declared = get_typed_return_annotation(endpoint) if annotated else Any
            bare = isclass(declared) and issubclass(declared, Response)
            declared = type(None) if declared is None else declared
        else:
            bare = declared is None
        kind = options.get("response_class")
        bare |= isclass(kind) and not issubclass(kind, JSONResponse)
        bare |= isasyncgenfunction(endpoint) or isgeneratorfunction(endpoint)
        if not bare and is_body_allowed_for_status_code(options.get("status_code")):
            endpoint = _enveloped(endpoint, options.get("status_code") or 200, _list(declared))
            options["response_model"] = _of(declared)
        super().add_api_route(path, endpoint, **options)


def _list(declared: Any) -> type[BaseModel] | None:
    """Return the model if it is a page, or None."""
    origin = declared.__pydantic_generic_metadata__["origin"] if hasattr(declared, "model_fields") else None
    return declared if origin in {Page, CursorPage} else None


def _of(declared: Any) -> Any:
    """Return the model of the envelope around the result of an endpoint."""
    listed = _list(declared)
    if listed is None:
        return Envelope[declared, Metadata]
    items: Any = listed.model_fields["items"].annotation
    navigation: Any = PageMetadata if issubclass(listed, Page) else CursorMetadata
    return Envelope[items, navigation]


def _enveloped(endpoint: Callable[..., Any], status: int, listed: type[BaseModel] | None) -> Callable[..., Any]:
    signature = get_typed_signature(endpoint)
    parameters = list(signature.parameters.values())
    own = next((one.name for one in parameters if one.annotation is Response), None)
    waiting = iscoroutinefunction(endpoint)

    @wraps(endpoint)
    async def run(**values: Any) -> Any:
        answer: Response = values[own] if own else values.pop("_answer")
        result = await (endpoint(**values) if waiting else run_in_threadpool(partial(endpoint, **values)))
        return result if isinstance(result, Response) else _envelope(result, answer.status_code or status, listed)

    if own is None:  # what a dependency says of the status is seen there
        parameters.append(Parameter("_answer", Parameter.KEYWORD_ONLY, annotation=Response))
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by inspect
    return run


def _envelope(result: Any, status: int, listed: type[BaseModel] | None) -> dict[str, Any]:
    metadata = _metadata()
    if listed is not None:
        page: Any = listed.model_validate(result)
        metadata |= {name: getattr(page, name) for name in listed.model_fields if name != "items"}
        result = page.items
    return {
        "success": True,
        "message": phrases.get(status, ""),
        "data": result,
        "errors": (),
        "metadata": metadata,
        "timestamp": datetime.now(UTC),
        "status_code": status,
    }


def _metadata() -> dict[str, Any]:
    request = context.current()
    return {"correlation_id": request.correlation_id if request else ""}
