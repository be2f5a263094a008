"""Decimals in JSON bodies: every digit that was sent counts, as a number and as a text alike."""

import json
from decimal import Decimal
from typing import Annotated, Any

import httpx2
import orjson
import pytest
from fastapi import Body
from pydantic import Field

from app.core.component import Component
from app.core.schema import Schema
from app.core.versioning import versioned
from tests.answers import content
from tests.conftest import Start

LONG = "1234567890123.45678"
router = versioned("prices")


class Line(Schema):
    """A price inside something else."""

    price: Decimal


class Offer(Schema):
    """Prices at every depth, beside numbers that are none."""

    price: Decimal
    least: Decimal | None = None
    rounded: Annotated[Decimal | None, Field(decimal_places=2)] = None
    lines: list[Line] = Field([])
    by_name: dict[str, Line] = Field({})
    weight: float = 0.0


class Note(Schema):
    """Numbers, of which none is a Decimal."""

    weight: float
    anything: dict[str, Any]


@router.post("/offers")
async def take_offer(offer: Offer) -> Offer:
    """Return the offer that arrived."""
    return offer


@router.post("/weights")
async def take_weight(offer: Offer) -> list[str]:
    """Return the type and the text of what a float has become."""
    return [type(offer.weight).__name__, str(offer.weight)]


@router.post("/lines")
async def take_lines(lines: list[Line]) -> list[Line]:
    """A list in place of an object."""
    return lines


@router.post("/alone")
async def take_one(price: Annotated[Decimal, Body(embed=True)]) -> Decimal:
    """One member."""
    return price


@router.post("/notes")
async def take_note(note: Note) -> str:
    """Return the JSON of a library that takes nothing but floats."""
    return orjson.dumps(note.model_dump()).decode()


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    """A client of a service with prices."""
    return await start(extra=[Component(name="prices", routers=[router])])


def body(**members: str) -> str:
    """An object of members as they are written."""
    return "{" + ", ".join(f'"{name}": {value}' for name, value in members.items()) + "}"


async def post(client: httpx2.AsyncClient, path: str, text: str, kind: str = "application/json") -> httpx2.Response:
    """Send a body as it is written."""
    return await client.post(f"/api/v1/prices/{path}", content=text, headers={"Content-Type": kind})


@pytest.mark.parametrize(
    "number",
    [
        LONG,
        f"-{LONG}",
        "0.30000000000000001",
        "12345678901234567890.12345678901234567890",
        "1.2345678901234567890e-3",
        "1.2345678E-320",
        "98765432109876543210",
        "0.1",
        "12.50",
        "1e2",
        "7",
    ],
)
async def test_a_json_number_is_the_decimal_that_was_written(client: httpx2.AsyncClient, number: str) -> None:
    answer = await post(client, "offers", body(price=number))
    assert answer.status_code == 200, answer.text
    assert Decimal(content(answer)["price"]) == Decimal(number)


async def test_a_decimal_is_exact_at_every_depth(client: httpx2.AsyncClient) -> None:
    line = body(price=LONG)
    text = body(price="1", least=LONG, lines=f"[{line}]", by_name=body(a=line))
    offer = content(await post(client, "offers", text))
    assert [offer["least"], offer["lines"][0]["price"], offer["by_name"]["a"]["price"]] == [LONG] * 3
    assert content(await post(client, "lines", f"[{line}]")) == [{"price": LONG}]
    assert content(await post(client, "alone", body(price=LONG), "application/vnd.price+json")) == LONG


async def test_a_decimal_leaves_as_a_text_that_is_taken_back(client: httpx2.AsyncClient) -> None:
    offer = content(await post(client, "offers", body(price=LONG)))
    assert offer["price"] == LONG
    assert content(await post(client, "offers", json.dumps(offer))) == offer


@pytest.mark.parametrize(("number", "status"), [("12.50", 200), ("12.5000", 200), ("12.505", 422)])
async def test_zeros_at_the_end_of_a_number_are_no_further_places(
    client: httpx2.AsyncClient, number: str, status: int
) -> None:
    assert (await post(client, "offers", body(price="1", rounded=number))).status_code == status


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-99999999999999999999"])
async def test_what_is_no_finite_number_is_refused(client: httpx2.AsyncClient, number: str) -> None:
    line = body(price=number)
    for text in (line, body(price="1", lines=f"[{line}]")):
        assert (await post(client, "offers", text)).status_code in {400, 422}, text


async def test_a_float_beside_a_decimal_is_a_plain_float(client: httpx2.AsyncClient) -> None:
    answer = await post(client, "weights", '{"price": 1, "weight": 0.10000000000000001}')
    assert content(answer) == ["float", "0.1"]


async def test_numbers_of_a_body_without_decimals_stay_plain_floats(client: httpx2.AsyncClient) -> None:
    text = '{"weight": 0.10000000000000001, "anything": {"a": [0.10000000000000001, 1e-400] } }'
    answer = await post(client, "notes", text)
    assert json.loads(content(answer)) == {"weight": 0.1, "anything": {"a": [0.1, 0.0]}}


async def test_a_body_that_is_no_json_is_400_as_ever(client: httpx2.AsyncClient) -> None:
    answer = await post(client, "offers", '{"price": 1.}')
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert (await post(client, "offers", LONG, "text/plain")).status_code == 415
