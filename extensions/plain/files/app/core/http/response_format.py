"""How answers look: as the endpoints return them, and problems as RFC 9457 has them."""

from typing import Any

from pydantic import BaseModel

from app.core.http.endpoints import Router

__all__ = ["Failure", "Router", "failure"]


class Failure(BaseModel):
    """Plain answers add no members to a problem."""


def failure(_message: str, _status: int) -> dict[str, Any]:
    """What is added to one problem: nothing."""
    return {}
