"""Calls from inside the shipped service: ids that go along, errors that callers get, and nothing that leaks."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter

from app.core.component import Component
from app.core.errors import ConfigurationInvalid, ExternalServiceFailed
from app.core.settings import load
from app.extensions.outbound import Client, OutboundSettings, client, resilient
from tests.conftest import Start
from tests.extensions.outbound.other import Other

Billing = Annotated[Client, client("billing")]
HIDDEN = "correct-horse-battery-staple"


@resilient("billing", repeatable=True)
async def fetch(number: int, word: str) -> str:
    """A call by some other library, that fails and says with what."""
    raise ConnectionError(f"number {number} failed on {len(word)} letters")


def calling() -> Component:
    """A slice that calls the other service."""
    router = APIRouter()

    @router.get("/call")
    async def call(billing: Billing) -> Any:
        return (await billing.get("/invoices", params={"q": HIDDEN}, headers={"X-Token": HIDDEN})).json()

    @router.get("/fetch")
    async def fetches() -> str:
        return await fetch(1, word=HIDDEN)

    @router.get("/bear")
    async def bear(billing: Billing) -> dict[str, str]:
        try:
            await billing.post("/invoices", json={"word": HIDDEN})
        except ExternalServiceFailed:
            return {"answer": "without billing"}
        return {"answer": "with billing"}

    return Component(name="calling", routers=[router])


def settings(other: Other, **policy: Any) -> dict[str, Any]:
    """Settings of the group, with waits that a test can afford."""
    return {"backoff": 0.001, "failures": 2, "services": {"billing": {"url": other.url, **policy}}}


async def test_the_ids_of_the_request_go_along(other: Other, start: Start) -> None:
    service = await start(outbound=settings(other), extra=[calling()])
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Correlation-ID": "asked-by-ada", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert (await service.get("/call", headers=headers)).status_code == 200
    _, path, sent = other.asked[0]
    assert path == f"/invoices?q={HIDDEN}"
    assert sent["x-correlation-id"] == "asked-by-ada"
    assert sent["traceparent"].startswith(f"00-{trace}-")
    assert sent["traceparent"].endswith("-01")


async def test_callers_get_a_502_and_then_how_long_it_is_left_alone(other: Other, start: Start) -> None:
    other.statuses = [500]
    service = await start(outbound=settings(other), extra=[calling()])
    codes = [(await service.get("/call")).json()["code"] for _ in range(3)]
    assert codes == ["call_failed", "call_failed", "circuit_open"]
    answer = await service.get("/call")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert (await service.get("/health")).json()["parts"]["outbound"]["status"] == "failed"
    assert (await service.get("/health/ready")).status_code == 200
    assert (await service.get("/bear")).json() == {"answer": "without billing"}


@pytest.mark.parametrize("path", ["/call", "/fetch", "/bear"])
async def test_nothing_of_what_was_sent_is_logged_or_answered(
    other: Other, start: Start, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, path: str
) -> None:
    other.statuses = [503, 500]
    service = await start(outbound=settings(other), extra=[calling()], log={"level": "DEBUG", "format": "json"})
    capsys.readouterr()
    answer = await service.get(path)
    said = capsys.readouterr().out + caplog.text + answer.text
    assert "call finished" in said
    assert HIDDEN not in said


async def test_the_same_client_serves_every_request(other: Other, start: Start) -> None:
    seen: list[Client] = []
    router = APIRouter()

    @router.get("/which")
    async def which(billing: Billing) -> None:
        seen.append(billing)

    service = await start(outbound=settings(other), extra=[Component(name="which", routers=[router])])
    for _ in range(2):
        await service.get("/which")
    assert seen[0] is seen[1]


def test_a_service_has_the_defaults_and_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOUND__ATTEMPTS", "2")
    monkeypatch.setenv("OUTBOUND__SERVICES__BILLING__URL", "https://billing.example.com")
    monkeypatch.setenv("OUTBOUND__SERVICES__BILLING__TIMEOUT", "1.5")
    found = load([OutboundSettings], env_file=None).of(OutboundSettings)
    billing, shop = found.policy("billing"), found.policy("shop")
    assert (billing.url, billing.timeout, billing.attempts) == ("https://billing.example.com", 1.5, 2)
    assert (shop.url, shop.timeout, shop.attempts) == ("", 5.0, 2)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OUTBOUND__ATTEMPTS", "0", "OUTBOUND__ATTEMPTS: "),
        ("OUTBOUND__SERVICES__BILLING__TIMOUT", "1", "OUTBOUND__SERVICES__BILLING__TIMOUT: unknown setting"),
        ("OUTBOUND__SERVICES__BILLING__TIMEOUT", "soon", "OUTBOUND__SERVICES__BILLING__TIMEOUT: Input should be"),
        ("OUTBOUND__SERVICES__BILLING__URL", "billing", "OUTBOUND__SERVICES__BILLING__URL: has to look like"),
        ("OUTBOUND__SERVICES__BILLING__URL", "http://h:x/", "OUTBOUND__SERVICES__BILLING__URL: has to look like"),
        ("OUTBOUND__SERVICES", "billing", "OUTBOUND__SERVICES: "),
    ],
)
def test_wrong_settings_stop_the_start_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationInvalid) as refused:
        load([OutboundSettings], env_file=None)
    (line,) = refused.value.mistakes
    assert said in line
