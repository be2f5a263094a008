"""Placing orders."""

from typing import Any

import httpx2
import pytest

from app.core.telemetry import BusinessEvent, listening
from tests.answers import content
from tests.features.orders.conftest import PATH, Place

LINE = {"sku": "bolt", "quantity": 1, "unit_price": 5}


async def test_a_placed_order_can_be_read_where_it_says(client: httpx2.AsyncClient) -> None:
    placed = await client.post(PATH, json={"reference": " A-1 ", "lines": [LINE, {**LINE, "sku": "nut"}]})
    assert placed.status_code == 201
    assert (content(placed)["reference"], content(placed)["status"], content(placed)["total"]) == ("A-1", "placed", 10)
    read = await client.get(placed.headers["location"])
    assert content(read) == content(placed)
    assert read.headers["etag"] == placed.headers["etag"] == '"1"'


async def test_a_reference_is_taken_once(client: httpx2.AsyncClient, place: Place) -> None:
    await place("A-1")
    answer = await client.post(PATH, json={"reference": "A-1", "lines": [LINE]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "reference")


async def test_an_order_may_replace_another(client: httpx2.AsyncClient, place: Place) -> None:
    first = await place("A-1")
    second = await place("A-2", replaces_id=first["id"])
    assert second["replaces_id"] == first["id"]
    assert content(await client.get(f"{PATH}/{first['id']}"))["status"] == "cancelled"


async def test_replacing_happens_whole_or_not_at_all(client: httpx2.AsyncClient, place: Place) -> None:
    first = await place("A-1")
    answer = await client.post(PATH, json={"reference": "A-1", "lines": [LINE], "replaces_id": first["id"]})
    assert answer.status_code == 409
    assert content(await client.get(f"{PATH}/{first['id']}"))["status"] == "placed"


async def test_an_order_cannot_replace_one_that_is_not_there(client: httpx2.AsyncClient) -> None:
    answer = await client.post(PATH, json={"reference": "A-1", "lines": [LINE], "replaces_id": 99})
    assert (answer.status_code, answer.json()["code"]) == (422, "replaced_order_unknown")
    assert answer.json()["errors"][0]["field"] == "body.replaces_id"


async def test_a_closed_order_cannot_be_replaced(client: httpx2.AsyncClient, place: Place) -> None:
    first = await place("A-1")
    await place("A-2", replaces_id=first["id"])
    answer = await client.post(PATH, json={"reference": "A-3", "lines": [LINE], "replaces_id": first["id"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "order_closed")


@pytest.mark.parametrize(
    "change",
    [
        {"reference": " "},
        {"reference": "x" * 201},
        {"lines": []},
        {"lines": [LINE, LINE]},
        {"lines": [{**LINE, "quantity": 0}]},
        {"lines": [{**LINE, "quantity": "1"}]},
        {"lines": [{**LINE, "unit_price": -1}]},
        {"surplus": 1},
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(client: httpx2.AsyncClient, change: dict[str, Any]) -> None:
    answer = await client.post(PATH, json={"reference": "A-1", "lines": [LINE], **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_each_change_of_an_order_is_an_event_once_it_is_committed(
    client: httpx2.AsyncClient, place: Place
) -> None:
    told: list[BusinessEvent] = []
    with listening(BusinessEvent, told.append):
        first = await place("A-1")
        path, change = f"{PATH}/{first['id']}", {"reference": "B-1", "lines": [LINE]}
        assert (await client.post(PATH, json={"reference": "A-1", "lines": [LINE]})).status_code == 409
        assert (await client.put(path, json=change, headers={"If-Match": '"1"'})).status_code == 200
        second = await place("A-2", replaces_id=first["id"])
        path = f"{PATH}/{second['id']}"
        assert (await client.post(f"{path}/ship", headers={"If-Match": '"1"'})).status_code == 200
        assert (await client.delete(path, headers={"If-Match": '"2"'})).status_code == 204
    before = {"reference": "A-1", "lines": [{"sku": "bolt", "quantity": 2, "unit_price": 150}]}
    one, two = str(first["id"]), str(second["id"])
    assert told == [
        BusinessEvent("order_placed", one),
        BusinessEvent("order_changed", one, before, change),
        BusinessEvent("order_cancelled", one, {"status": "placed"}, {"status": "cancelled"}),
        BusinessEvent("order_placed", two),
        BusinessEvent("order_shipped", two, {"status": "placed"}, {"status": "shipped"}),
        BusinessEvent("order_deleted", two),
    ]
