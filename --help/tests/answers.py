"""How tests read answers, whatever they look like."""

from typing import Any

import httpx2


def content(answer: httpx2.Response) -> Any:
    """Return what the endpoint returned."""
    return answer.json()
