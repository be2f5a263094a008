"""Versions of the API, side by side."""

from datetime import UTC, datetime, timedelta, timezone

import httpx2
import pytest
from fastapi import Depends

from app.core.component import Component
from app.core.errors import NotFound, PermissionDenied
from app.core.versioning import versioned
from tests.answers import content
from tests.conftest import Start

old = versioned("shops", deprecated=datetime(2026, 1, 1, tzinfo=UTC), sunset=datetime(2026, 6, 30, 23, tzinfo=UTC))
new = versioned("shops", version=2)


@old.get("")
async def read_old() -> int:
    """The first version."""
    return 1


@old.get("/{number}")
async def read_one(number: int) -> int:
    """Finds nothing."""
    raise NotFound(f"there is no shop {number}")


@new.get("")
async def read_new() -> int:
    """The second version."""
    return 2


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    return await start(extra=[Component(name="shops", routers=[old, new])])


async def test_two_versions_live_side_by_side(client: httpx2.AsyncClient) -> None:
    assert content(await client.get("/api/v1/shops")) == 1
    assert content(await client.get("/api/v2/shops")) == 2
    assert (await client.get("/shops")).status_code == 404


@pytest.mark.parametrize(("path", "status"), [("", 200), ("/7", 404), ("/x", 422)])
async def test_an_old_version_announces_its_end_in_every_answer(
    client: httpx2.AsyncClient, path: str, status: int
) -> None:
    answer = await client.get(f"/api/v1/shops{path}")
    assert answer.status_code == status
    assert answer.headers["deprecation"] == "@1767225600"
    assert answer.headers["sunset"] == "Tue, 30 Jun 2026 23:00:00 GMT"


async def test_a_new_version_announces_nothing(client: httpx2.AsyncClient) -> None:
    assert not {"deprecation", "sunset"} & (await client.get("/api/v2/shops")).headers.keys()


async def test_the_documentation_says_so_too(client: httpx2.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert paths["/api/v1/shops"]["get"]["deprecated"] is True
    assert "deprecated" not in paths["/api/v2/shops"]["get"]


async def test_times_of_other_zones_are_sent_in_gmt(start: Start) -> None:
    router = versioned("moving", sunset=datetime(2026, 7, 1, 1, tzinfo=timezone(timedelta(hours=2))))
    router.add_api_route("", read_old)
    client = await start(extra=[Component(name="moving", routers=[router])])
    assert (await client.get("/api/v1/moving")).headers["sunset"] == "Tue, 30 Jun 2026 23:00:00 GMT"


@pytest.mark.parametrize("deprecated", [None, datetime(2026, 1, 1, tzinfo=UTC)])
async def test_the_dependencies_of_a_feature_are_before_all_its_routes(
    start: Start, deprecated: datetime | None
) -> None:
    async def refuse() -> None:
        raise PermissionDenied

    closed = versioned("vaults", deprecated=deprecated, dependencies=[Depends(refuse)])

    @closed.get("")
    async def read() -> int:
        return 1

    client = await start(extra=[Component(name="vaults", routers=[closed])])
    answer = await client.get("/api/v1/vaults")
    assert (answer.status_code, "deprecation" in answer.headers) == (403, deprecated is not None)
