"""Changing, shipping and deleting orders."""

from typing import Any

import httpx2
import pytest

from tests.answers import content
from tests.features.orders.conftest import PATH, Place

CHANGE = {"reference": "B-1", "lines": [{"sku": "bolt", "quantity": 9, "unit_price": 1}]}


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
