"""Tokens over HTTP: whom they let in, and the one 401 for whatever is wrong with the others."""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import APIRouter, WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.core.component import Component
from app.core.telemetry import SecurityEvent
from app.extensions.jwt import CurrentUser, authenticate_first_message, guard, require_scope, require_scopes
from tests.conftest import Listen, Serve, Start
from tests.core.sockets import serving
from tests.extensions.jwt.conftest import Trusting, whoami
from tests.extensions.jwt.issuer import AUDIENCE, Issuer, private, unsigned

NOW = int(time.time())
CLAIMS = {"aud": AUDIENCE, "sub": "ada", "exp": NOW + 300}


async def test_a_token_of_the_issuer_lets_its_user_in(issuer: Issuer, client: httpx2.AsyncClient) -> None:
    answer = await whoami(client, issuer.token(scope="things:read things:write"))
    assert answer.json() == {"subject": "ada", "scopes": ["things:read", "things:write"]}


async def test_an_elliptic_key_is_as_good(issuer: Issuer, client: httpx2.AsyncClient) -> None:
    issuer.rotate("second", "ES256")
    assert (await whoami(client, issuer.token())).status_code == 200


def confused(issuer: Issuer) -> str:
    """HS256 with the public key as its secret: pyjwt itself refuses to make it, so it is made by hand."""
    head = unsigned({**CLAIMS, "iss": issuer.url}, alg="HS256", kid="first").removesuffix(".")
    signature = hmac.digest(issuer.public("first"), head.encode(), "sha256")
    return f"{head}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def changed(token: str) -> str:
    """The same signature below other claims."""
    head, claims, signature = token.split(".")
    said = urlsafe_b64decode(claims + "==").replace(b'"ada"', b'"eve"')
    return ".".join([head, urlsafe_b64encode(said).rstrip(b"=").decode(), signature])


def wrong(issuer: Issuer) -> dict[str, str]:
    """Tokens that must not open anything."""
    own = private("another issuer", "RS256")
    token = issuer.token()
    return {
        "no token": "abc",
        "two parts": token.rpartition(".")[0],
        "five parts": f"{token}.a.b",
        "changed": changed(token),
        "signed by another": issuer.token(kid="first", key=own),
        "of an unknown key": issuer.token(kid="forged", key=own),
        "alg none": unsigned({**CLAIMS, "iss": issuer.url}, kid="first"),
        "alg none, written otherwise": unsigned({**CLAIMS, "iss": issuer.url}, alg="nOnE", kid="first"),
        "alg none with a signature": unsigned({**CLAIMS, "iss": issuer.url}, kid="first") + token.split(".")[2],
        "public key as secret": confused(issuer),
        "algorithm not allowed": jwt.encode(
            {**CLAIMS, "iss": issuer.url}, issuer.keys["first"][1], algorithm="PS256", headers={"kid": "first"}
        ),
        "key in the header": jwt.encode(
            {**CLAIMS, "iss": issuer.url}, own, algorithm="RS256", headers={"jwk": {"kty": "RSA"}, "kid": "own"}
        ),
        "critical header": jwt.encode(
            {**CLAIMS, "iss": issuer.url},
            issuer.keys["first"][1],
            algorithm="RS256",
            headers={"kid": "first", "crit": ["x"], "x": 1},
        ),
        "kid is no text": unsigned(CLAIMS, alg="RS256", kid={"a": 1}),
        "kid is a path": unsigned(CLAIMS, alg="RS256", kid="../../dev/null"),
        "header is a list": urlsafe_b64encode(b"[]").decode() + "." + token.partition(".")[2],
        "header nested deep": urlsafe_b64encode(b"[" * 9000).decode() + "." + token.partition(".")[2],
        "expired": issuer.token(exp=NOW - 31),
        "not yet": issuer.token(nbf=NOW + 600),
        "without expiry": issuer.token(drop="exp"),
        "expires at infinity": issuer.token(exp=float("inf")),
        "expires never": issuer.token(exp=None),
        "expiry is a list": issuer.token(exp=[NOW + 300]),
        "for another audience": issuer.token(aud="https://other.example.com"),
        "without audience": issuer.token(drop="aud"),
        "of another issuer": issuer.token(iss="https://evil.example.com"),
        "without issuer": issuer.token(drop="iss"),
        "without subject": issuer.token(drop="sub"),
        "subject empty": issuer.token(sub=" "),
        "subject true": issuer.token(sub=True),
        "subject a list": issuer.token(sub=["ada"]),
        "subject null": issuer.token(sub=None),
        "subject a fraction": issuer.token(sub=1.5),
        "subject with a line end": issuer.token(sub="ada\nroot"),
        "subject too long": issuer.token(sub="a" * 256),
        "too long": issuer.token(more="a" * 20_000),
    }


async def test_whatever_is_wrong_with_a_token_the_answer_is_the_same_401(
    issuer: Issuer, client: httpx2.AsyncClient, told: list[SecurityEvent]
) -> None:
    answers: dict[str, Any] = {}
    for kind, token in wrong(issuer).items():
        answer = await whoami(client, token)
        assert answer.status_code == 401, kind
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        problem = answer.json()
        answers[kind] = {name: problem[name] for name in ("code", "detail", "errors", "title")}
        assert told[-1].name == "authentication_failed"
        assert token not in str(told[-1])
    assert all(answer == answers["no token"] for answer in answers.values())
    assert len(told) == len(answers)
    assert (await whoami(client, issuer.token())).status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YWRhOmFkYQ==", "Token abc"])
async def test_without_a_bearer_token_the_401_only_asks_for_one(client: httpx2.AsyncClient, header: str | None) -> None:
    answer = await client.get("/whoami", headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_scheme_may_be_written_in_small_letters(issuer: Issuer, client: httpx2.AsyncClient) -> None:
    headers = {"Authorization": f"bearer  {issuer.token()}"}
    assert (await client.get("/whoami", headers=headers)).status_code == 200


@pytest.mark.parametrize(("leeway", "status"), [(30, 200), (0, 401)])
async def test_leeway_bears_with_a_slow_clock(issuer: Issuer, trusting: Trusting, leeway: int, status: int) -> None:
    client = await trusting(issuer=issuer.url, audience=f"other,{AUDIENCE}", leeway=leeway)
    assert (await whoami(client, issuer.token(exp=int(time.time()) - 5))).status_code == status


@pytest.mark.parametrize(("sub", "subject"), [(42, "42"), ("auth0|5f7c", "auth0|5f7c"), ("Zoë", "Zoë")])
async def test_a_subject_may_be_a_number(issuer: Issuer, client: httpx2.AsyncClient, sub: Any, subject: str) -> None:
    assert (await whoami(client, issuer.token(sub=sub))).json()["subject"] == subject


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b"}, ["a", "b"]),
        ({"scp": ["a", 1, "b c"]}, ["a", "b c"]),
        ({"scp": "a"}, ["a"]),
        ({"scope": {"a": 1}}, []),
        ({}, []),
    ],
)
async def test_scopes_are_read_as_issuers_write_them(
    issuer: Issuer, client: httpx2.AsyncClient, claims: dict[str, Any], scopes: list[str]
) -> None:
    assert (await whoami(client, issuer.token(**claims))).json()["scopes"] == scopes


async def test_a_token_without_the_scope_is_403(
    issuer: Issuer, client: httpx2.AsyncClient, told: list[SecurityEvent]
) -> None:
    enough = {"Authorization": f"Bearer {issuer.token(scope='things:read things:write')}"}
    assert (await client.post("/things", headers=enough)).status_code == 200
    answer = await client.post("/things", headers={"Authorization": f"Bearer {issuer.token(scope='things:read')}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_insufficient")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="things:write"'
    assert told == [SecurityEvent("permission_denied", "ada", "lacks things:write")]


async def test_the_access_record_names_the_user_and_no_token(
    issuer: Issuer, client: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    token = issuer.token()
    await whoami(client, token)
    await whoami(client, changed(token))
    said = capsys.readouterr().out
    assert "principal=user:ada" in said
    assert "reason=InvalidSignatureError" in said
    assert token.rpartition(".")[2] not in said


async def test_the_schema_says_which_routes_ask_for_a_token(client: httpx2.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    scheme = schema["components"]["securitySchemes"]["Bearer"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert schema["paths"]["/things"]["post"]["security"] == [{"Bearer": ["things:write"]}]


async def test_without_an_issuer_the_service_starts_and_refuses_every_token(
    start: Start, issuer: Issuer, trusting: Trusting
) -> None:
    assert (await (await start()).get("/health/live")).status_code == 200
    assert (await whoami(await trusting(), issuer.token())).status_code == 401


def test_the_name_of_releases_up_to_0_3_works_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"^app\.extensions\.jwt\.require_scope is now require_scopes"):
        assert require_scope("notes:write") == require_scopes("notes:write")


async def test_a_websocket_is_guarded_like_a_route(issuer: Issuer, serve: Serve) -> None:
    router = APIRouter()

    @router.websocket("/live")
    async def live(websocket: WebSocket, caller: CurrentUser) -> None:
        await websocket.accept()
        await websocket.send_text(caller.subject)

    @router.websocket("/more", dependencies=[require_scopes("things:write")])
    async def more(websocket: WebSocket) -> None:
        await websocket.accept()

    app = await serve(
        jwt={"issuer": issuer.url, "audience": AUDIENCE}, extra=[Component(name="live", routers=[router])]
    )
    async with serving(app) as url:
        async with connect(f"{url}/live", additional_headers={"Authorization": f"Bearer {issuer.token()}"}) as socket:
            assert await socket.recv() == "ada"
        for path, headers, status in (
            ("/live", {}, 401),
            ("/live", {"Authorization": "Bearer wrong"}, 401),
            ("/more", {"Authorization": f"Bearer {issuer.token()}"}, 403),
        ):
            with pytest.raises(InvalidStatus) as raised:
                async with connect(f"{url}{path}", additional_headers=headers):
                    pass
            assert raised.value.response.status_code == status
            assert raised.value.response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("sent", "code", "reason", "event"),
    [
        ("", 1008, "token_missing", "no token"),
        (b"bytes", 1008, "token_missing", "no token"),
        ("wrong", 1008, "token_invalid", "Error"),
        ("reads", 1008, "scope_insufficient", "lacks things:write"),
        (None, 1008, "token_missing", "no token"),
    ],
)
async def test_a_websocket_may_send_its_token_first(
    issuer: Issuer,
    listen: Listen,
    told: list[SecurityEvent],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sent: str | bytes | None,
    code: int,
    reason: str,
    event: str,
) -> None:
    router = APIRouter()

    @router.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        user = await authenticate_first_message(websocket, "things:write")
        await websocket.send_text(user.subject)

    url = await listen(
        jwt={"issuer": issuer.url, "audience": AUDIENCE}, extra=[Component(name="live", routers=[router])]
    )
    async with connect(f"{url}/live") as socket:
        await socket.send(issuer.token(scope="things:write"))
        assert await socket.recv() == "ada"
    assert not told

    monkeypatch.setattr(guard, "PATIENCE", 0.2)
    async with connect(f"{url}/live") as socket:
        if sent is not None:
            await socket.send(issuer.token(scope="things:read") if sent == "reads" else sent)
        await socket.wait_closed()
    assert (socket.close_code, socket.close_reason) == (code, reason)
    assert [each.reason for each in told] == [event]
    async with connect(f"{url}/live"):
        pass  # leaves without a word
    assert "unexpected error" not in caplog.text
