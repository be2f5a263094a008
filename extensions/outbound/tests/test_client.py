"""The client against a service that really listens: what is sent, what is sent again, and what is told."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from app.core.telemetry import SecurityEvent, listening
from app.extensions.outbound import CallFailed, CallFinished, CallRetried, CallsExhausted, UrlMissing, UrlRefused
from app.extensions.outbound.client import retry_after
from app.extensions.outbound.guard import Call, Guard
from app.extensions.outbound.settings import Policy
from tests.extensions.outbound.conftest import Connect
from tests.extensions.outbound.other import Other


@pytest.mark.parametrize(
    ("method", "options", "sent"),
    [
        ("GET", {}, 3),
        ("put", {"json": {}}, 3),
        ("DELETE", {}, 3),
        ("POST", {"json": {}}, 1),
        ("PATCH", {"json": {}}, 1),
        ("POST", {"json": {}, "repeatable": True}, 3),
        ("GET", {"repeatable": False}, 1),
        ("PUT", {"content": iter([b"a"])}, 1),
    ],
)
async def test_only_what_may_be_repeated_is_sent_again(
    other: Other, connect: Connect, method: str, options: dict[str, Any], sent: int
) -> None:
    other.statuses = [503]
    if "content" in options:

        async def body() -> Any:
            yield b"a"

        options = {"content": body(), "headers": {"Content-Length": "1"}}
    with pytest.raises(CallFailed) as failed:
        await connect().request(method, "/", **options)
    assert (failed.value.service, failed.value.reason, failed.value.status) == ("billing", "503", 502)
    assert len(other.asked) == sent


@pytest.mark.parametrize(("status", "sent"), [(500, 1), (501, 1), (502, 3), (503, 3), (504, 3), (429, 3)])
async def test_statuses_that_another_attempt_may_change_are_tried_again(
    other: Other, connect: Connect, status: int, sent: int
) -> None:
    other.statuses = [status]
    with pytest.raises(CallFailed):
        await connect().get("/")
    assert len(other.asked) == sent


@pytest.mark.parametrize(
    "url",
    [
        "../admin",
        "/..",
        "a/../../admin",
        "%2e%2e/admin",
        "a\\..\\admin",
        "//127.0.0.1:1/x",
        "http://127.0.0.1:1/x",
        "http://127.0.0.1:{port}/v10",
        "http://127.0.0.1:{port}/v1/../admin",
        "http://x@127.0.0.1.evil.test/v1/",
    ],
)
async def test_a_call_stays_below_the_address_of_its_service(other: Other, connect: Connect, url: str) -> None:
    events: list[SecurityEvent] = []
    with listening(SecurityEvent, events.append), pytest.raises(UrlRefused):
        await connect(url=f"{other.url}/v1").get(url.format(port=other.port))
    assert (other.asked, events) == ([], [SecurityEvent("outbound_url_refused", subject="billing")])


@pytest.mark.parametrize("url", ["things", "/things/a..b", "http://127.0.0.1:{port}/v1/things?next=../x"])
async def test_what_stays_below_is_called(other: Other, connect: Connect, url: str) -> None:
    await connect(url=f"{other.url}/v1").get(url.format(port=other.port))
    assert other.asked[0][1].startswith("/v1/things")


async def test_a_path_of_a_service_without_a_url_is_503_and_names_the_setting(connect: Connect) -> None:
    with pytest.raises(UrlMissing) as caught:
        await connect(url="").get("/things")
    assert caught.value.status == 503
    assert str(caught.value.__cause__) == "OUTBOUND__SERVICES__BILLING__URL is not set, and /things is a path below it"


@pytest.mark.parametrize("policy", [{"anywhere": True}, {"url": ""}])
async def test_a_service_may_be_called_anywhere_if_the_settings_say_so(
    other: Other, connect: Connect, policy: dict[str, Any]
) -> None:
    await connect(**{"url": "http://127.0.0.1:1/v1", **policy}).get(f"{other.url}/admin")
    assert other.asked[0][1] == "/admin"


async def test_a_call_that_succeeds_in_the_end_is_one_call(other: Other, connect: Connect, told: list[Any]) -> None:
    other.statuses = [503, 502, 200]
    answer = await connect().get("/")
    assert answer.json() == {}
    *retried, finished = told
    assert retried == [CallRetried("billing", "GET", "503"), CallRetried("billing", "GET", "502")]
    assert finished == CallFinished("billing", "GET", "200", finished.duration, 3)


async def test_a_refused_connection_is_tried_again_and_then_a_failure(
    other: Other, connect: Connect, told: list[Any]
) -> None:
    other.stop()
    with pytest.raises(CallFailed, match="a service that this one needs failed"):
        await connect().get("/")
    assert told[-1][2:] == ("ConnectError", told[-1].duration, 3)


async def test_an_answer_that_takes_too_long_is_given_up(other: Other, connect: Connect) -> None:
    other.delay = 10
    started = time.monotonic()
    with pytest.raises(CallFailed):
        await connect(timeout=0.2, attempts=2).get("/")
    assert 0.35 < time.monotonic() - started < 9
    assert len(other.asked) == 2


async def test_all_attempts_together_keep_the_deadline(other: Other, connect: Connect) -> None:
    other.delay = 10
    started = time.monotonic()
    with pytest.raises(CallFailed):
        await connect(timeout=9, attempts=10, deadline=0.4).get("/")
    assert 0.35 < time.monotonic() - started < 8


async def test_retry_after_is_waited_for(other: Other, connect: Connect) -> None:
    other.statuses, other.headers = [503, 200], {"Retry-After": "1"}
    started = time.monotonic()
    assert (await connect().get("/")).status_code == 200
    assert 1.0 <= time.monotonic() - started < 5


async def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once(other: Other, connect: Connect) -> None:
    other.statuses, other.headers = [429], {"Retry-After": "30"}
    started = time.monotonic()
    with pytest.raises(CallFailed) as failed:
        await connect().get("/")
    assert time.monotonic() - started < 10
    assert len(other.asked) == 1
    assert failed.value.headers == {"Retry-After": "30"}


def test_retry_after_is_a_number_or_a_date_and_nothing_else() -> None:
    now = datetime.now(UTC)
    assert retry_after("7") == 7
    assert 8 < (retry_after(format_datetime(now + timedelta(seconds=10), usegmt=True)) or 0) <= 10
    assert retry_after(format_datetime(now - timedelta(seconds=10), usegmt=True)) == 0
    assert retry_after("9" * 5000) == 999_999_999
    for nonsense in (None, "", "-1", "soon", "1e9", "٣", "1.5", "Mon, 99 Foo 2026"):
        assert retry_after(nonsense) is None


def test_backoff_grows_is_random_and_has_a_limit() -> None:
    policy = Policy(backoff=1, backoff_limit=3, attempts=10, deadline=1000)
    highest = []
    for made in range(1, 6):
        call = Call(Guard("billing", policy), "GET", lambda _: None, repeatable=True)
        call.made = made
        pauses = [call.next_pause(None) or 0.0 for _ in range(300)]
        assert min(pauses) < max(pauses) / 2
        highest.append(max(pauses))
    assert all(most * 0.8 < seen <= most for most, seen in zip((1, 2, 3, 3, 3), highest, strict=True))


async def test_so_many_calls_at_a_time_and_the_rest_wait_so_long(other: Other, connect: Connect) -> None:
    other.delay = 0.3
    client = connect(concurrency=5, patience=0.1)
    started = time.monotonic()
    answers = await asyncio.gather(*(client.get("/") for _ in range(50)), return_exceptions=True)
    assert time.monotonic() - started < 2.5  # all of them, five at a time, would take 3
    assert other.busiest == 5
    assert sum(isinstance(answer, CallsExhausted) for answer in answers) == 45
    assert client.guard.breaker.state == "closed"


async def test_who_waits_gets_the_place_that_becomes_free(other: Other, connect: Connect) -> None:
    other.delay = 0.25
    client = connect(concurrency=5, patience=20)
    answers = await asyncio.gather(*(client.get("/") for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert other.busiest == 5


async def test_a_cookie_of_one_call_is_not_sent_with_the_next(other: Other, connect: Connect) -> None:
    other.headers = {"Set-Cookie": "session=ada"}
    client = connect()
    await client.get("/")
    await client.get("/")
    assert ["cookie" in headers for _, _, headers in other.asked] == [False, False]


async def test_a_wrong_address_is_the_callers_own_mistake(connect: Connect) -> None:
    client = connect(anywhere=True, failures=1)
    with pytest.raises(httpx2.UnsupportedProtocol):
        await client.get("ftp://example.com/")
    with pytest.raises(httpx2.InvalidURL):
        await client.get("http://[::1/")
    assert client.guard.breaker.state == "closed"
