"""Versions of the API: features are below /api/v1, a second version beside it, and a version may announce its end."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime

from fastapi import Depends
from fastapi.params import Depends as Dependency

from app.core import context
from app.core.http.response_format import Router


def versioned(
    name: str,
    *,
    version: int = 1,
    deprecated: datetime | None = None,
    sunset: datetime | None = None,
    dependencies: Sequence[Dependency] = (),
) -> Router:
    """Return the router of one feature: `versioned("books")` answers below /api/v1/books.

    Args:
        name: the last part of the prefix, and the tag in the docs.
        version: the version of the API.
        deprecated: since when callers should move on; sent as `Deprecation` (RFC 9745).
        sunset: when it goes away; sent as `Sunset` (RFC 8594).
        dependencies: the dependencies of all its routes, such as a guard.
    """
    headers: list[tuple[bytes, bytes]] = []
    if deprecated:
        headers.append((b"deprecation", f"@{int(deprecated.timestamp())}".encode()))
    if sunset:
        headers.append((b"sunset", format_datetime(sunset.astimezone(UTC), usegmt=True).encode()))

    async def announce() -> None:
        request = context.current()
        if request:
            request.headers.extend(headers)  # so that errors carry them too

    return Router(
        prefix=f"/api/v{version}/{name}",
        tags=[name],
        deprecated=True if deprecated else None,
        dependencies=[*([Depends(announce)] if headers else []), *dependencies],  # so that refusals announce it too
    )
