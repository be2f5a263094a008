"""A read shows one state: an order with the lines of its version, a page with its own total, while others write."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.live.conftest import Make, Run
from tests.live.service import BOUND, ORDERS, Service

READS = 250
"""At least so many reads of each of the two readers: on two statements, one in ten of them was torn."""
WRITES = 60
"""The readers go on until so many writes were made meanwhile, however slow the machine is."""


@pytest.fixture
def service(base: str, rendered: Make, run: Run) -> Service:
    """Two processes on one database."""
    return run(rendered(database=base), SERVER__WORKERS="2")


def body(number: int) -> dict[str, Any]:
    """An order whose reference names the quantity of its two lines."""
    lines = [{"sku": sku, "quantity": number, "unit_price": 1} for sku in ("bolt", "nut")]
    return {"reference": f"v{number}", "lines": lines}


def read_while(service: Service, write: Callable[[httpx2.Client], None], read: Callable[[httpx2.Client], None]) -> None:
    """Two readers read while one client writes."""
    done, enough = threading.Event(), threading.Event()

    def writing() -> None:
        with httpx2.Client(base_url=service.url, timeout=10) as http:
            try:
                for written in itertools.count(1):
                    if done.is_set():
                        return
                    write(http)
                    if written == WRITES:
                        enough.set()
            finally:
                enough.set()

    def reading() -> None:
        with httpx2.Client(base_url=service.url, timeout=10) as http:
            reads = 0
            while reads < READS or not enough.is_set():
                read(http)
                reads += 1

    with ThreadPoolExecutor(3) as pool:
        writer = pool.submit(writing)
        readers = [pool.submit(reading) for _ in range(2)]
        try:
            for reader in readers:
                reader.result(timeout=BOUND)
        finally:
            done.set()
        writer.result(timeout=BOUND)


def test_an_order_has_the_lines_of_its_version(service: Service) -> None:
    placed = service.http.post(ORDERS, json=body(1))
    where = placed.headers["location"]
    state: dict[str, Any] = {"number": 1, "etag": placed.headers["etag"]}

    def change(http: httpx2.Client) -> None:
        state["number"] += 1
        changed = http.put(where, json=body(state["number"]), headers={"If-Match": state["etag"]})
        assert changed.status_code == 200, changed.text
        state["etag"] = changed.headers["etag"]

    def read(http: httpx2.Client) -> None:
        found = http.get(where).json()
        assert [line["quantity"] for line in found["lines"]] == [int(found["reference"][1:])] * 2
        assert found["version"] == int(found["reference"][1:])

    read_while(service, change, read)


def test_a_deleted_order_is_never_seen_without_lines_and_no_page_without_its_total(service: Service) -> None:
    seen = {"where": ""}

    def place_and_delete(http: httpx2.Client) -> None:
        placed = http.post(ORDERS, json=body(1))
        assert placed.status_code == 201, placed.text
        seen["where"] = placed.headers["location"]
        assert http.delete(placed.headers["location"], headers={"If-Match": '"1"'}).status_code == 204

    def read(http: httpx2.Client) -> None:
        found = http.get(ORDERS).json()
        assert len(found["items"]) == found["total"]
        if seen["where"]:
            answer = http.get(seen["where"])
            assert answer.status_code == 404 or len(answer.json()["lines"]) == 2

    read_while(service, place_and_delete, read)
