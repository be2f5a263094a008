"""A slice that asks for a bearer token."""

from app.core.component import Component
from app.core.versioning import versioned
from app.extensions.jwt import CurrentUser, require_scopes

router = versioned("profiles")


@router.get("")
async def read(user: CurrentUser) -> str:
    """Return the subject of the caller."""
    return user.subject


@router.post("", dependencies=[require_scopes("profiles:write")])
async def write() -> None:
    """Only with this scope."""


def component() -> Component:
    """Return the component of this slice."""
    return Component(name="profiles", routers=[router])
