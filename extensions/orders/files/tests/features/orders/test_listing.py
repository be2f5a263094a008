"""Lists of orders."""

import httpx2
import pytest

from app.core.telemetry import QueryFinished, listening
from tests.answers import content
from tests.features.orders.conftest import PATH, Place


@pytest.fixture
async def orders(place: Place) -> None:
    for number in range(1, 6):
        await place(f"A-{number}", sku="bolt" if number % 2 else "nut")


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("params", "references"),
    [
        ({}, ["A-5", "A-4", "A-3", "A-2", "A-1"]),
        ({"sort": "reference"}, ["A-1", "A-2", "A-3", "A-4", "A-5"]),
        ({"sort": "-reference", "size": 2}, ["A-5", "A-4"]),
        ({"sort": "created_at", "size": 2, "page": 3}, ["A-5"]),
        ({"sku": "nut"}, ["A-4", "A-2"]),
        ({"status": "shipped"}, []),
        ({"size": 2, "page": 9}, []),
    ],
)
async def test_orders_are_filtered_sorted_and_paged(
    client: httpx2.AsyncClient, params: dict[str, str], references: list[str]
) -> None:
    found = content(await client.get(PATH, params=params))
    assert [order["reference"] for order in found["items"]] == references
    assert found["total"] == {"nut": 2}.get(params.get("sku", ""), 0 if "status" in params else 5)


@pytest.mark.usefixtures("orders")
async def test_the_feed_leads_through_all_of_them_while_new_ones_come_in(
    client: httpx2.AsyncClient, place: Place
) -> None:
    part = content(await client.get(f"{PATH}/feed", params={"size": 2}))
    found = [order["reference"] for order in part["items"]]
    await place("B-1")
    for _ in range(2):
        part = content(await client.get(part["links"]["next"]))
        found += [order["reference"] for order in part["items"]]
    assert found == ["A-5", "A-4", "A-3", "A-2", "A-1"]
    assert part["cursor"] is None


@pytest.mark.parametrize("params", [{"status": "lost"}, {"sort": "sku"}, {"size": 101}])
async def test_a_list_that_makes_no_sense_is_refused(client: httpx2.AsyncClient, params: dict[str, str]) -> None:
    assert (await client.get(PATH, params=params)).status_code == 422


async def test_an_order_takes_one_statement_however_many_lines_it_has(client: httpx2.AsyncClient, place: Place) -> None:
    small, large = await place("A-1"), await place("A-2", count=50)
    counts = []
    for order in (small, large):
        seen: list[QueryFinished] = []
        with listening(QueryFinished, seen.append):
            assert len(content(await client.get(f"{PATH}/{order['id']}"))["lines"]) == len(order["lines"])
        counts.append(len(seen))
    assert counts == [1, 1]


@pytest.mark.usefixtures("orders")
async def test_a_list_takes_one_statement_however_long_it_is(client: httpx2.AsyncClient) -> None:
    seen: list[QueryFinished] = []
    with listening(QueryFinished, seen.append):
        await client.get(PATH)
    assert len(seen) == 1
