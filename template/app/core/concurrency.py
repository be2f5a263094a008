"""Optimistic locking: an ETag is the version of a row, and a change has to name the one that it was made from."""

import re
import time
from typing import Annotated

from fastapi import Depends, Header

from app.core.errors import PreconditionFailed, PreconditionRequired

_ETAG = re.compile(r'(?:W/)?"(\d{1,18})"')


def next_version(previous: int | None) -> int:
    """The version of a row that has a key of its caller's, which may be deleted and come back.

    Counted from 1, the ETag of the deleted row would fit the new one. This is the time in microseconds, and never less
    than one more than before: a `BigInteger` column with `"version_id_generator": next_version`.
    """
    return max((previous or 0) + 1, time.time_ns() // 1000)


def etag(version: int) -> str:
    """The ETag of a version (RFC 9110, 8.8.3)."""
    return f'"{version}"'


async def _expected_version(
    if_match: Annotated[str | None, Header(description="The ETag of what is changed.")] = None,
) -> int:
    """The version that `If-Match` names. A weak ETag counts: compression makes one of ours.

    Raises:
        PreconditionRequired: there is no `If-Match`.
        PreconditionFailed: it is no version of ours.
    """
    if if_match is None:
        raise PreconditionRequired
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise PreconditionFailed
    return int(match[1])


ExpectedVersion = Annotated[int, Depends(_expected_version)]
"""The version that the caller has read, from `If-Match`."""
