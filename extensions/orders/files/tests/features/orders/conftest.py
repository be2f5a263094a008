"""The fixtures of the tests of orders."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.answers import content

PATH = "/api/v1/orders"
Place = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def place(client: httpx2.AsyncClient) -> Place:
    """Places an order: `await place("A-1", sku="bolt")`."""

    async def place_order(reference: str, *, sku: str = "bolt", count: int = 1, **more: Any) -> dict[str, Any]:
        skus = [sku, *(f"{sku} {number}" for number in range(2, count + 1))]
        lines = [{"sku": each, "quantity": 2, "unit_price": 150} for each in skus]
        answer = await client.post(PATH, json={"reference": reference, "lines": lines, **more})
        assert answer.status_code == 201, answer.text
        order: dict[str, Any] = content(answer)
        return order

    return place_order
