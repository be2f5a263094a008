"""The content of responses in tests, whatever the response format."""

from typing import Any

import httpx2


def content(answer: httpx2.Response) -> Any:
    """Return what the endpoint returned: `data`, and for a list the page that it is."""
    body = answer.json()
    if not isinstance(body, dict) or body.get("success") is not True:  # a problem, or no envelope at all
        return body
    navigation = {name: value for name, value in body["metadata"].items() if name != "correlation_id"}
    return {"items": body["data"], **navigation} if navigation else body["data"]
