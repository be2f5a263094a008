"""The response format: results of endpoints as they are, and problems by RFC 9457."""

from typing import Any

from pydantic import BaseModel

from app.core.http.endpoints import Router

__all__ = ["Failure", "Router", "failure"]


class Failure(BaseModel):
    """Plain answers add no members to a problem."""


def failure(_message: str, _status: int) -> dict[str, Any]:
    """Return the members that a problem gets: none."""
    return {}
