"""Optimistic locking: an ETag is the version of a row, and a change names the version that it was made from."""

import re
import time
from typing import Annotated

from fastapi import Depends, Header
from pydantic import WithJsonSchema

from app.core.errors import PreconditionFailed, PreconditionRequired
from app.core.schema import REQUIRED

_ETAG = re.compile(r'(?:W/)?"(\d{1,18})"')


def next_version(previous: int | None) -> int:
    """Return the next version of a row whose key callers choose, so that it may be deleted and made again.

    Counted from 1, the ETag of the deleted row would fit the new one. So it is the time in microseconds, and greater
    than before: for a `BigInteger` column with `"version_id_generator": next_version`.
    """
    return max((previous or 0) + 1, time.time_ns() // 1000)


def etag(version: int) -> str:
    """Return the ETag of a version (RFC 9110, 8.8.3)."""
    return f'"{version}"'


async def _expected_version(
    if_match: Annotated[
        str | None,
        WithJsonSchema({"type": "string", REQUIRED: True}),  # without it the answer is 428, not the 422 of FastAPI
        Header(alias="If-Match", description="The ETag of what is changed."),
    ] = None,
) -> int:
    """Return the version that `If-Match` names. A weak ETag counts: compression makes one."""
    if if_match is None:
        raise PreconditionRequired
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise PreconditionFailed
    return int(match[1])


ExpectedVersion = Annotated[int, Depends(_expected_version)]
"""The version that the caller has read, from `If-Match`."""
