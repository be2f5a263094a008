"""The base of requests and answers, and the bounded types that databases and JSON agree on."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

REQUIRED = "x-required"
"""The mark in the schema of a parameter that OpenAPI is to call required, and that has an error of its own."""
MAX_INT = 2**63 - 1
"""The largest integer of a database column: 64 bits with a sign."""


class Schema(BaseModel):
    """A request or an answer. Unknown members are refused, so that a typo is not silently lost."""

    model_config = ConfigDict(extra="forbid", from_attributes=True, allow_inf_nan=False)


def headers_of(status: int, *names: str) -> dict[int | str, dict[str, Any]]:
    """Return response headers for `responses=` of a route: `headers_of(201, "ETag", "Location")`."""
    found = {name: {"description": _HEADERS.get(name, ""), "schema": {"type": "string"}} for name in names}
    return {status: {"headers": found}}


_HEADERS = {
    "ETag": "The version of the resource. A change sends it as `If-Match`.",
    "Location": "The path of the new resource.",
}


def _a_number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")  # noqa: TRY004  # pydantic answers a ValueError
    return value


# Not every database stores NUL. A pattern, so that the documentation says so too.
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$"),
]
"""A text of 1 to 200 characters after trimming."""
NumberOnly = BeforeValidator(_a_number)
"""For whole numbers as JSON Schema has them: 2 and 2.0 are one, `true` and `"2"` are none. Stands after the bounds."""
Whole = Annotated[int, Field(ge=0, le=MAX_INT), NumberOnly]
"""A whole number, zero or more."""
Id = Annotated[int, Path(ge=1, le=MAX_INT)]
"""The id of a row, in a path."""
