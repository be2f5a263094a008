"""The router of features."""

from typing import Any

from fastapi import APIRouter

from app.core.http.decimals import ExactRoute


class Router(APIRouter):
    """A router whose routes keep every digit of the numbers in JSON bodies."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"route_class": ExactRoute, **options})
