"""The content of responses in tests, whatever the response format."""

from typing import Any

import httpx2


def content(answer: httpx2.Response) -> Any:
    """Return what the endpoint returned."""
    return answer.json()
