"""A slice that asks for an API key."""

from app.core.component import Component
from app.core.versioning import versioned
from app.extensions.api_keys import ApiKey, require_scopes

router = versioned("vaults")


@router.get("")
async def read(key: ApiKey) -> str:
    """Return the client that the key belongs to."""
    return key.client


@router.post("", dependencies=[require_scopes("vaults:write")])
async def write() -> None:
    """Only with this scope."""


def component() -> Component:
    """Return the component of this slice."""
    return Component(name="vaults", routers=[router])
