"""The router of features. Its routes keep every digit of the numbers in a JSON body."""

import json
import re
from collections.abc import Callable, Coroutine
from decimal import Decimal, InvalidOperation
from math import isinf
from types import SimpleNamespace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from fastapi.utils import generate_unique_id
from pydantic import TypeAdapter

OVERRIDES: Any = SimpleNamespace(dependency_overrides={})
"""The `dependency_overrides` of the application, known to routers that exist before it."""


def operation_id(route: APIRoute) -> str:
    """Return `books.list` for `list_books` of the tag `books`: the name that generated clients use."""
    if not route.tags:
        return generate_unique_id(route)
    tag = re.sub(r"\W", "_", str(route.tags[0]))
    name = re.sub(f"(?<=.)_{tag.removesuffix('s')}s?$", "", route.name)
    later = re.match(r"/api/(v\d{2,}|v[2-9])/", route.path_format)
    return f"{tag}.{name}_{later[1]}" if later else f"{tag}.{name}"


class Router(APIRouter):
    """A router whose routes keep every digit of the numbers in JSON bodies."""

    def __init__(self, **options: Any) -> None:
        defaults = {"dependency_overrides_provider": OVERRIDES, "generate_unique_id_function": operation_id}
        super().__init__(**{"route_class": ExactRoute, **defaults, **options})


class ExactRoute(APIRoute):
    """A route that keeps every digit of the numbers in its JSON body, if its model has a `Decimal`.

    A float has 15 to 17 digits only. Source: https://fastapi.tiangolo.com/how-to/custom-request-and-route/.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, which reads the body in another way if its model has a `Decimal`."""
        handler = super().get_route_handler()
        model: Any = self.body_field.field_info.annotation if self.body_field else None
        if not _has_decimal(TypeAdapter(model).core_schema):
            return handler

        async def handle(request: Request) -> Response:
            return await handler(_ExactRequest(request.scope, request.receive))

        return handle


class _ExactRequest(Request):
    async def json(self) -> Any:
        return json.loads(await self.body(), parse_float=_number)


class _Written(float):
    """A number that no float holds. pydantic makes a `Decimal` from its text, which is as it was written."""

    def __new__(cls, text: str) -> "_Written":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


def _number(text: str) -> float:
    number = float(text)
    if len(text) < 17 and "e" not in text and "E" not in text:  # 15 digits at most: a float gives them back
        return number
    try:
        exact = isinf(number) or Decimal(repr(number)) == Decimal(text)
    except InvalidOperation:  # an exponent of 20 digits
        exact = False
    return number if exact else _Written(text)


def _has_decimal(schema: object) -> bool:
    if isinstance(schema, dict):
        return schema.get("type") == "decimal" or any(map(_has_decimal, schema.values()))
    return isinstance(schema, list | tuple) and any(map(_has_decimal, schema))
