"""Optimistic locking by ETag and If-Match."""

import httpx2
import pytest
from fastapi import APIRouter

from app.core.component import Component
from app.core.concurrency import ExpectedVersion, etag, next_version
from tests.conftest import Start

router = APIRouter()


@router.put("/locked")
async def change(version: ExpectedVersion) -> int:
    """The version that the caller has read."""
    return version


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    return await start(extra=[Component(name="locked", routers=[router])])


def test_an_etag_is_the_version_in_quotes() -> None:
    assert etag(7) == '"7"'


def test_a_key_that_comes_back_has_a_version_that_it_never_had() -> None:
    versions = [next_version(None), next_version(None)]
    for _ in range(1000):
        versions.append(next_version(versions[-1]))
    assert versions[1] >= versions[0]
    assert versions[1:] == sorted(set(versions[1:]))
    assert next_version(versions[-1] + 10**9) == versions[-1] + 10**9 + 1  # though the clock has been set back
    assert etag(versions[-1]).strip('"').isdigit()


@pytest.mark.parametrize("given", ['"7"', 'W/"7"', ' "7" '])
async def test_a_change_names_the_version_that_it_was_made_from(client: httpx2.AsyncClient, given: str) -> None:
    answer = await client.put("/locked", headers={"If-Match": given})
    assert (answer.status_code, answer.json()) == (200, 7)


async def test_a_change_of_nothing_in_particular_is_428(client: httpx2.AsyncClient) -> None:
    answer = await client.put("/locked")
    assert (answer.status_code, answer.json()["code"]) == (428, "precondition_required")


@pytest.mark.parametrize("given", ["", "7", '"x"', "*", '"7", "8"', '"' + "9" * 30 + '"', '"-1"', '"\u0667"'])
async def test_a_version_that_is_none_of_ours_is_412(client: httpx2.AsyncClient, given: str) -> None:
    answer = await client.put("/locked", headers={b"If-Match": given.encode()})
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
