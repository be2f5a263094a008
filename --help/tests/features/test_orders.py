"""Orders, as clients see them."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from app.core.telemetry import BusinessEvent, QueryFinished, listening
from tests.answers import content

PATH = "/api/v1/orders"
LINE = {"sku": "bolt", "quantity": 1, "unit_price": 5}
CHANGE = {"reference": "B-1", "lines": [{"sku": "bolt", "quantity": 9, "unit_price": 1}]}
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


@pytest.fixture
async def order(place: Place) -> dict[str, Any]:
    return await place("A-1", count=2)


async def test_a_change_replaces_the_lines(client: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    answer = await client.put(f"{PATH}/{order['id']}", json=CHANGE, headers={"If-Match": '"1"'})
    assert (answer.status_code, content(answer)["reference"], content(answer)["total"]) == (200, "B-1", 9)
    assert answer.headers["etag"] == '"2"'
    assert content(await client.get(f"{PATH}/{order['id']}")) == content(answer)


async def test_other_lines_alone_are_a_new_version_too(client: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    path, change = f"{PATH}/{order['id']}", {**CHANGE, "reference": order["reference"]}
    first = await client.put(path, json=change, headers={"If-Match": '"1"'})
    second = await client.put(path, json=change, headers={"If-Match": '"1"'})
    assert (first.status_code, first.headers["etag"], second.status_code) == (200, '"2"', 412)


async def test_what_cannot_be_changed_is_refused(client: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    change = {**CHANGE, "replaces_id": 1}
    answer = await client.put(f"{PATH}/{order['id']}", json=change, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.replaces_id")


@pytest.mark.parametrize(("headers", "status"), [({}, 428), ({"If-Match": '"7"'}, 412)])
async def test_no_one_overwrites_what_they_have_not_read(
    client: httpx2.AsyncClient, order: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    path = f"{PATH}/{order['id']}"
    assert (await client.put(path, json=CHANGE, headers=headers)).status_code == status
    assert (await client.post(f"{path}/ship", headers=headers)).status_code == status
    assert (await client.delete(path, headers=headers)).status_code == status
    assert content(await client.get(path)) == order


async def test_a_shipped_order_changes_no_more(client: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    path = f"{PATH}/{order['id']}"
    shipped = await client.post(f"{path}/ship", headers={"If-Match": '"1"'})
    assert (shipped.status_code, content(shipped)["status"]) == (200, "shipped")
    headers = {"If-Match": shipped.headers["etag"]}
    for answer in (
        await client.put(path, json=CHANGE, headers=headers),
        await client.post(f"{path}/ship", headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "order_closed")


async def test_a_deleted_order_is_gone_with_its_lines(client: httpx2.AsyncClient, order: dict[str, Any]) -> None:
    path = f"{PATH}/{order['id']}"
    assert (await client.delete(path, headers={"If-Match": '"1"'})).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert content(await client.get(PATH, params={"sku": "bolt"}))["total"] == 0


async def test_a_deleted_order_gives_its_id_to_no_other(
    client: httpx2.AsyncClient, order: dict[str, Any], place: Place
) -> None:
    path, headers = f"{PATH}/{order['id']}", {"If-Match": '"1"'}
    assert (await client.delete(path, headers=headers)).status_code == 204
    other = await place("A-2")
    assert (await client.delete(path, headers=headers)).status_code == 404
    assert (await client.put(path, json=CHANGE, headers=headers)).status_code == 404
    assert content(await client.get(f"{PATH}/{other['id']}")) == other


async def test_deleting_a_replaced_order_changes_the_one_that_replaced_it(
    client: httpx2.AsyncClient, order: dict[str, Any], place: Place
) -> None:
    successor = await place("A-2", replaces_id=order["id"])
    assert (await client.delete(f"{PATH}/{order['id']}", headers={"If-Match": '"2"'})).status_code == 204
    read = await client.get(f"{PATH}/{successor['id']}")
    assert (content(read)["replaces_id"], read.headers["etag"]) == (None, '"2"')
    assert content(read)["updated_at"] > successor["updated_at"]
    assert (await client.put(f"{PATH}/{successor['id']}", json=CHANGE, headers={"If-Match": '"1"'})).status_code == 412


@pytest.mark.parametrize("number", [99, 2**63 - 1])
async def test_a_missing_order_is_404(client: httpx2.AsyncClient, number: int) -> None:
    path, headers = f"{PATH}/{number}", {"If-Match": '"1"'}
    for answer in (
        await client.get(path),
        await client.put(path, json=CHANGE, headers=headers),
        await client.post(f"{path}/ship", headers=headers),
        await client.delete(path, headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")
