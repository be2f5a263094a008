"""The guard, over HTTP: 401 and 403 in the one format, and nothing said that helps to guess."""

import json
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.core.component import Component
from app.core.telemetry import SecurityEvent
from app.extensions.api_keys import ApiKey, keyring, require, require_scopes
from tests.conftest import Serve, Start
from tests.core.sockets import serving
from tests.extensions.api_keys.conftest import Guarded, Made, made


def refused(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that a refusal has to be, without what differs from one answer to the next."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    return {name: value for name, value in problem.items() if name not in {"correlation_id", "metadata", "timestamp"}}


async def test_a_key_opens_what_asks_for_one(guarded: Guarded) -> None:
    key = made("billing")
    client = await guarded(key)
    answer = await client.get("/whoami", headers={"X-API-Key": key.key})
    assert answer.json() == {"client": "billing", "id": key.key.partition(".")[0]}


async def test_a_route_that_asks_for_no_key_is_open(guarded: Guarded) -> None:
    assert (await (await guarded(made())).get("/open")).status_code == 200


def wrong(key: Made) -> dict[str, dict[str, str]]:
    """Headers that must not open anything."""
    identifier, _, secret = key.key.partition(".")
    stored = json.loads(key.line)["sha256"]
    keys = {
        "none at all": None,
        "an empty one": "",
        "an unknown one": made().key,
        "a wrong secret": f"{identifier}.{secret[:-1]}{'A' if secret[-1] != 'A' else 'B'}",
        "no secret": identifier,
        "no id": secret,
        "another's secret": f"{identifier}.{made().key.partition('.')[2]}",
        "more than the key": key.key + "A",
        "less than the key": key.key[:-1],
        "the stored hash": stored,
        "the stored hash as secret": f"{identifier}.{stored}",
        "not ASCII": f"{identifier}.\xfc\xff",
        "a long one": f"{identifier}." + "A" * 60_000,
    }
    return {name: {} if value is None else {"X-API-Key": value} for name, value in keys.items()}


async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same_401(
    guarded: Guarded, told: list[SecurityEvent]
) -> None:
    key, expired = made(), made("shop", seconds=-1)
    client = await guarded(key, expired)
    cases = wrong(key) | {"expired": {"X-API-Key": expired.key}}
    answers = []
    for headers in cases.values():
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = await client.get("/whoami", headers=raw)
        assert answer.headers["www-authenticate"] == "ApiKey"
        answers.append(refused(answer, 401, "api_key_invalid"))
    assert all(answer == answers[0] for answer in answers)
    assert [event.name for event in told] == ["authentication_failed"] * len(cases)
    assert told[0].reason == "missing key"
    assert told[-1] == SecurityEvent("authentication_failed", "shop", "expired key")
    assert not [event for event in told if key.key.partition(".")[2] in str(event)]


@pytest.mark.parametrize("kind", wrong(made()))
async def test_an_unknown_key_is_compared_as_a_known_one_is(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    compared: list[tuple[int, int]] = []

    def counting(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(keyring, "compare_digest", counting)
    key = made()
    client = await guarded(key)
    raw = [(name.encode(), value.encode("latin-1")) for name, value in wrong(key)[kind].items()]
    await client.get("/whoami", headers=raw)
    assert compared == [(32, 32)]


async def test_two_keys_of_a_client_work_side_by_side_until_one_is_removed(guarded: Guarded) -> None:
    old, new = made("billing"), made("billing")
    both, after = await guarded(old, new), await guarded(new)
    for client, key, status in [(both, old, 200), (both, new, 200), (after, old, 401), (after, new, 200)]:
        assert (await client.get("/whoami", headers={"X-API-Key": key.key})).status_code == status


async def test_a_key_is_good_until_it_expires(guarded: Guarded) -> None:
    key = made(seconds=3600)
    assert (await (await guarded(key)).get("/whoami", headers={"X-API-Key": key.key})).status_code == 200


async def test_a_key_without_the_scope_is_403_and_named_in_an_event(
    guarded: Guarded, told: list[SecurityEvent]
) -> None:
    reader, writer = made("shop", "things:read"), made("billing", "things:read", "things:write")
    client = await guarded(reader, writer)
    assert (await client.post("/things", headers={"X-API-Key": writer.key})).status_code == 200
    answer = await client.post("/things", headers={"X-API-Key": reader.key})
    assert refused(answer, 403, "api_key_insufficient")["detail"] == "this key lacks the scope things:write"
    assert told == [SecurityEvent("permission_denied", "shop", "lacks things:write")]
    assert (await client.post("/things")).status_code == 401


async def test_the_access_record_names_the_client_and_no_key(
    guarded: Guarded, capsys: pytest.CaptureFixture[str]
) -> None:
    key = made("billing")
    client = await guarded(key)
    await client.get("/whoami", headers={"X-API-Key": key.key})
    said = capsys.readouterr().out
    assert "key:billing" in said
    assert key.key.partition(".")[2] not in said


async def test_the_schema_says_which_routes_ask_for_a_key(guarded: Guarded) -> None:
    schema = (await (await guarded()).get("/openapi.json")).json()
    scheme = schema["components"]["securitySchemes"]["ApiKey"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
    assert schema["paths"]["/whoami"]["get"]["security"] == [{"ApiKey": []}]
    assert schema["paths"]["/things"]["post"]["security"] == [{"ApiKey": ["things:write", "things:read"]}]
    assert "security" not in schema["paths"]["/open"]["get"]


async def test_without_keys_the_service_starts_and_what_is_guarded_stays_shut(start: Start, guarded: Guarded) -> None:
    assert (await (await start()).get("/health/live")).status_code == 200
    assert (await (await guarded()).get("/whoami", headers={"X-API-Key": made().key})).status_code == 401


def test_the_name_of_releases_up_to_0_3_works_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"^app\.extensions\.api_keys\.require is now require_scopes"):
        assert require("notes:write") == require_scopes("notes:write")


async def test_a_websocket_is_guarded_like_a_route(serve: Serve) -> None:
    key = made("billing")
    router = APIRouter()

    @router.websocket("/live")
    async def live(websocket: WebSocket, caller: ApiKey) -> None:
        await websocket.accept()
        await websocket.send_text(caller.client)

    @router.websocket("/more", dependencies=[require_scopes("things:write")])
    async def more(websocket: WebSocket) -> None:
        await websocket.accept()

    app = await serve(api_keys={"keys": key.line}, extra=[Component(name="live", routers=[router])])
    async with serving(app) as url:
        async with connect(f"{url}/live", additional_headers={"X-API-Key": key.key}) as socket:
            assert await socket.recv() == "billing"
        for path, headers, status in (
            ("/live", {}, 401),
            ("/live", {"X-API-Key": "wrong"}, 401),
            ("/more", {"X-API-Key": key.key}, 403),
        ):
            with pytest.raises(InvalidStatus) as raised:
                async with connect(f"{url}{path}", additional_headers=headers):
                    pass
            assert raised.value.response.status_code == status
            assert (status == 403) == ("www-authenticate" not in raised.value.response.headers)
