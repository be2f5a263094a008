"""The issuer's keys over a real connection: they rotate, and the issuer is down or slow."""

import asyncio
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.warnings import InsecureKeyLengthWarning

from app.extensions.jwt import keys
from tests.extensions.jwt.conftest import Trusting, until, warm, whoami
from tests.extensions.jwt.issuer import AUDIENCE, Issuer, private


async def test_a_new_key_is_fetched_when_its_first_token_arrives(issuer: Issuer, trusting: Trusting) -> None:
    client = await warm(trusting, issuer)
    issuer.rotate("second", "ES256")
    assert (await whoami(client, issuer.token(kid="second"))).status_code == 200
    assert (await whoami(client, issuer.token(kid="first"))).status_code == 200
    assert issuer.asked.count("/keys") == 2


async def test_unknown_keys_cause_one_fetch_and_no_more_for_a_while(
    issuer: Issuer, trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await warm(trusting, issuer)
    other = private("another issuer", "RS256")
    for _ in range(2):
        forged = [issuer.token(kid=f"forged-{number}", key=other) for number in range(50)]
        answers = await asyncio.gather(*(whoami(client, token) for token in forged))
        assert {answer.status_code for answer in answers} == {401}
    assert issuer.asked.count("/keys") == 2
    monkeypatch.setattr(keys, "COOLDOWN", 0.0)
    await whoami(client, issuer.token(kid="forged", key=other))
    assert issuer.asked.count("/keys") == 3


async def test_a_revoked_key_is_refused_after_the_next_refresh(issuer: Issuer, trusting: Trusting) -> None:
    client = await warm(trusting, issuer, refresh_interval=0.1)
    revoked = issuer.token(kid="first")
    issuer.rotate("second", revoke="first")
    seen = len(issuer.asked)
    await until(lambda: len(issuer.asked) >= seen + 4)
    assert (await whoami(client, revoked)).status_code == 401
    assert (await whoami(client, issuer.token())).status_code == 200


async def test_known_keys_serve_on_while_the_issuer_is_down(
    issuer: Issuer, trusting: Trusting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "COOLDOWN", 0.05)
    client = await warm(trusting, issuer, refresh_interval=0.05)
    issuer.stop()
    await until(lambda: "cannot be fetched" in caplog.text)
    for _ in range(20):
        assert (await whoami(client, issuer.token(kid="first"))).status_code == 200
        await asyncio.sleep(0.01)
    assert (await client.get("/health")).json()["parts"]["jwt"]["status"] == "failed"
    assert (await client.get("/health/ready")).status_code == 200
    assert caplog.text.count("cannot be fetched, 1 known ones are used") == 1
    issuer.listen()
    issuer.rotate("second")
    await until(lambda: "can be fetched again" in caplog.text)
    assert (await whoami(client, issuer.token())).status_code == 200


async def test_a_slow_issuer_costs_no_request_with_a_known_key_anything(issuer: Issuer, trusting: Trusting) -> None:
    client = await warm(trusting, issuer, refresh_interval=0.05, timeout=0.5)
    issuer.delay = 2.0
    seen = len(issuer.asked)
    await until(lambda: len(issuer.asked) > seen)
    started = time.monotonic()
    for _ in range(20):
        assert (await whoami(client, issuer.token(kid="first"))).status_code == 200
    assert time.monotonic() - started < 8  # each would wait for 0.5, so 10 in all


async def test_a_slow_issuer_holds_a_token_of_an_unknown_key_for_its_time_at_most(
    issuer: Issuer, trusting: Trusting
) -> None:
    client = await warm(trusting, issuer, timeout=0.3)
    issuer.delay = 10.0
    forged = issuer.token(kid="forged", key=private("another issuer", "RS256"))
    started = time.monotonic()
    assert (await whoami(client, forged)).status_code == 401
    assert 0.25 < time.monotonic() - started < 9
    asked = len(issuer.asked)
    assert (await whoami(client, forged)).status_code == 401
    assert len(issuer.asked) == asked


async def test_an_issuer_that_is_down_at_the_start_is_a_503_until_it_comes(
    issuer: Issuer, trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "COOLDOWN", 0.05)
    issuer.stop()
    client = await trusting(issuer=issuer.url, audience=AUDIENCE)
    answer = await whoami(client, issuer.token())
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert (await client.get("/health/ready")).status_code == 200
    issuer.listen()
    await until(lambda: "/keys" in issuer.asked)
    assert (await whoami(client, issuer.token())).status_code == 200


async def test_a_weak_key_of_the_issuer_opens_nothing(issuer: Issuer, trusting: Trusting) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505  # that is the point
    issuer.keys["weak"] = ("RS256", weak)
    client = await trusting(issuer=issuer.url, audience=AUDIENCE)
    assert (await whoami(client, issuer.token(kid="first"))).status_code == 200
    with pytest.warns(InsecureKeyLengthWarning):
        token = issuer.token(kid="weak")
    assert (await whoami(client, token)).status_code == 401


async def test_keys_may_stand_where_no_discovery_says(issuer: Issuer, trusting: Trusting) -> None:
    client = await trusting(issuer=issuer.url, jwks_url=f"{issuer.url}/keys", audience=AUDIENCE)
    assert (await whoami(client, issuer.token())).status_code == 200
    assert issuer.asked == ["/keys"]


async def test_a_single_key_may_go_without_a_name(issuer: Issuer, trusting: Trusting) -> None:
    (key,) = issuer.jwks()
    del key["kid"]
    issuer.answers = {"/keys": json.dumps({"keys": [key]}).encode()}
    client = await trusting(issuer=issuer.url, audience=AUDIENCE)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    token = jwt.encode(claims, private("first", "RS256"), algorithm="RS256")
    assert (await whoami(client, token)).status_code == 200
