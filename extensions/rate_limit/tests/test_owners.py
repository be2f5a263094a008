"""Owners of credentials: what is learned of them, what is forgotten, and the effect of junk in a header."""

import httpx2
import pytest
from fastapi import APIRouter, Request

from app.core import context
from app.core.component import Component
from app.extensions.rate_limit.middleware import KNOWN, CredentialCache
from tests.conftest import Start

pytestmark = pytest.mark.anyio
MINE = "/limits/mine"
KEY = {"X-API-Key": "right"}
FEW = {"enabled": True, "per_minute": 3}


async def ask(client: httpx2.AsyncClient, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    """The status, and what is left afterwards to whom the request counted for."""
    answer = await client.request(method, path, headers=headers)
    return answer.status_code, answer.headers["ratelimit-remaining"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/limits/things/1", 200), ("GET", "/nothing/here", 404), ("POST", MINE, 405)],
)
async def test_what_asks_for_no_credentials_forgets_none(
    start: Start, things: Component, method: str, path: str, status: int
) -> None:
    client = await start(extra=[things], rate_limit=FEW)
    assert await ask(client, MINE, **KEY) == (200, "2")  # of the address, and one of the owner
    assert await ask(client, path, method=method, **KEY) == (status, "1")
    assert await ask(client, MINE, **KEY) == (200, "0")
    assert await ask(client, MINE, **KEY) == (429, "0")
    assert await ask(client, MINE) == (401, "1")  # the address had but the first


async def test_a_junk_header_before_a_key_does_not_hide_its_owner(start: Start, things: Component) -> None:
    transport = (await start(extra=[things], rate_limit=FEW))._transport
    assert isinstance(transport, httpx2.ASGITransport)
    found = []
    for number in range(6):
        elsewhere = httpx2.ASGITransport(transport.app, client=(f"203.0.113.{number}", 1))
        async with httpx2.AsyncClient(transport=elsewhere, base_url="http://service") as client:
            found.append(await ask(client, MINE, Authorization=f"Bearer junk{number}", **KEY))
    assert found == [(200, "2"), (200, "1"), (200, "0"), (429, "0"), (429, "0"), (429, "0")]


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh tokens", "one token with more spaces"])
async def test_tokens_of_one_user_from_many_addresses_are_limited(start: Start, fresh: bool) -> None:
    router = APIRouter()
    done = []

    @router.post("/work")
    async def work(request: Request) -> None:
        current = context.current()
        assert current
        current.principal = f"user:{request.headers['authorization'].split()[1].partition('-')[0]}"
        done.append(1)

    transport = (await start(extra=[Component(name="work", routers=[router])], rate_limit=FEW))._transport
    assert isinstance(transport, httpx2.ASGITransport)
    found = []
    for number in range(9):
        elsewhere = httpx2.ASGITransport(transport.app, client=(f"203.0.113.{number}", 1))
        async with httpx2.AsyncClient(transport=elsewhere, base_url="http://service") as client:
            token = f"Bearer ada-{number}" if fresh else f"Bearer {' ' * number}ada"
            found.append(await client.post("/work", headers={"Authorization": token}))
    assert found[-1].status_code == 429
    assert found[-1].json()["code"] == "rate_limited"
    assert 1 <= int(found[-1].headers["retry-after"]) <= 120
    assert len(done) == (4 if fresh else 3)  # the first one above the limit is known afterwards


@pytest.mark.parametrize(("principal", "most"), [("key:ada", 1), ("ada", 2)])
def test_junk_beside_a_key_is_not_remembered(principal: str, most: int) -> None:
    owners = CredentialCache()
    for number in range(100):
        digests = owners.digests([(b"authorization", b"junk %d" % number), (b"x-api-key", b"right")])
        assert owners.owner(digests) == (principal if number else None)
        owners.learn(digests, principal)
    assert len(owners.names) == most


def test_a_key_that_all_users_share_is_nobodys_while_tokens_prove_who_they_are() -> None:
    owners = CredentialCache()
    for user in ("user:ada", "user:bob"):
        digests = owners.digests([(b"x-api-key", b"of the gateway"), (b"authorization", user.encode())])
        assert owners.owner(digests) is None
        owners.learn(digests, user)
        assert owners.owner(digests) == user


def test_the_same_value_in_another_header_is_another_credential() -> None:
    owners = CredentialCache()
    owners.learn(owners.digests([(b"x-api-key", b"right")]), "key:ada")
    assert owners.owner(owners.digests([(b"authorization", b"right")])) is None


def test_a_bounded_number_of_credentials_is_remembered() -> None:
    owners = CredentialCache()
    for number in range(KNOWN + 1):
        owners.learn(owners.digests([(b"x-api-key", b"%d" % number)]), f"key:{number}")
    assert 0 < len(owners.names) <= KNOWN
