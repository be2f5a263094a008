"""The files of the shipped service: which line goes where, and what happens where none can be written."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from fastapi import APIRouter

from app.core import context
from app.core.component import Component
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings, load
from app.core.telemetry import BusinessEvent, SecurityEvent, describe, emit
from app.extensions.log_files import LogFilesSettings
from app.main import create_app, default_components
from tests.conftest import Opened
from tests.extensions.log_files.conftest import Read

router = APIRouter(prefix="/things")


class Called(NamedTuple):
    """An event of another extension."""

    service: str
    duration: float


describe(Called, log=("info", "called"))


@router.get("/broken")
async def broken() -> None:
    """Fails, with a secret."""
    raise RuntimeError("no way in: password=s3cr3t-of-mine")


@router.post("/{number}")
async def change(number: int) -> int:
    """Tells what it does."""
    request = context.current()
    assert request
    request.principal = "user 7"
    before, after = {"stock": 3, "api_key": "s3cr3t-of-mine"}, {"stock": 2}
    emit(BusinessEvent("thing_sold", f"thing {number}", before, after))
    emit(SecurityEvent("door_opened", "door 1", "Authorization: Bearer s3cr3t-of-mine"))
    emit(Called("billing", 0.5))
    return number


@pytest.fixture
def settings(configured: Callable[..., Settings], tmp_path: Path) -> Callable[..., Settings]:
    """Settings with the files in the test's folder."""
    return lambda log=None, **mine: configured(
        log={"format": "json", **(log or {})}, log_files={"directory": str(tmp_path / "logs"), **mine}
    )


async def serve(settings: Settings, *requests: tuple[str, str]) -> list[httpx2.Response]:
    """Open the service, ask, and close it, which writes all."""
    app = create_app([*default_components(settings), Component(name="things", routers=[router])], settings)
    async with Opened(app) as opened:
        transport = httpx2.ASGITransport(opened, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
            return [await client.request(*request) for request in requests]


async def test_each_line_is_in_the_file_of_its_kind(settings: Callable[..., Settings], read: Read) -> None:
    await serve(settings(), ("POST", "/things/7"), ("GET", "/things/broken"), ("GET", "/nowhere"))
    assert [(line["path"], line["status"]) for line in read("access")] == [
        ("/things/7", 200),
        ("/things/broken", 500),
        ("/nowhere", 404),
    ]
    assert [line["event"] for line in read("errors")] == ["unexpected error"]
    told = ["business event", "security event", "called"]
    assert [line["event"] for line in read("app") if line["event"] in {*told, "unexpected error"}] == [
        *told,
        "unexpected error",
    ]
    assert [line["event"] for line in read("performance")] == ["called"]
    assert {line["service"] for name in ("app", "access", "audit") for line in read(name)} != {None}


async def test_slow_requests_and_queries_are_performance(settings: Callable[..., Settings], read: Read) -> None:
    slow = settings(log={"slow_request": 1e-9, "level": "WARNING"})
    await serve(slow, ("GET", "/health/live"))
    logging.getLogger("app").info("no file takes this")
    assert [line["event"] for line in read("performance")] == ["slow request"]
    assert [line["event"] for line in read("access")] == ["slow request"]


@pytest.mark.parametrize("level", ["INFO", "ERROR"])
async def test_the_audit_says_who_did_what_at_every_level(
    settings: Callable[..., Settings], read: Read, level: str
) -> None:
    (answer,) = await serve(settings(log={"level": level}), ("POST", "/things/7"))
    sold, opened = read("audit")
    assert {
        "event": "business event",
        "name": "thing_sold",
        "subject": "thing 7",
        "before": {"stock": 3, "api_key": "[redacted]"},
        "after": {"stock": 2},
        "principal": "user 7",
        "client": "127.0.0.1",
        "correlation_id": answer.headers["x-correlation-id"],
    }.items() <= sold.items()
    assert {"event": "security event", "name": "door_opened"}.items() <= opened.items()
    assert sold["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_file_has_a_secret_and_every_line_is_json(
    settings: Callable[..., Settings], read: Read, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await serve(settings(log={"format": form}), ("POST", "/things/7?token=s3cr3t-of-mine"), ("GET", "/things/broken"))
    assert "Traceback" in read("errors")[0]["exception"]
    assert len(read("access")) == 2
    for stream in ("app", "errors", "access", "performance", "audit"):
        assert read(stream)
        assert "s3cr3t-of-mine" not in json.dumps(read(stream))
    assert capsys.readouterr().out.startswith("{") is (form == "json")


async def test_standard_output_has_the_same_lines(
    settings: Callable[..., Settings], read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    await serve(settings(), ("POST", "/things/7"), ("GET", "/things/broken"))
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in [*read("app"), *read("access"), *read("errors"), *read("performance")]:
        assert line in shown


@pytest.mark.parametrize("what", ["below a file", "a folder in the way"])
async def test_a_folder_that_cannot_be_written_is_refused_in_one_line(
    settings: Callable[..., Settings], tmp_path: Path, what: str
) -> None:
    wanted: dict[str, Any] = {}
    if what == "below a file":
        (tmp_path / "file").touch()
        wanted["directory"] = str(tmp_path / "file" / "logs")
    else:
        (tmp_path / "logs" / "audit.log").mkdir(parents=True)
    with pytest.raises(ConfigurationInvalid) as refused:
        await serve(settings(**wanted))
    (line,) = refused.value.mistakes
    assert line.startswith(f"LOG_FILES__DIRECTORY: cannot write {tmp_path}")
    assert "\n" not in line


async def test_a_full_disk_is_one_error_and_shows_in_health(
    settings: Callable[..., Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    for stream in ("app", "errors", "access"):
        (tmp_path / "logs" / f"{stream}.log").symlink_to("/dev/full")
    full = settings(flush_interval=0.01)
    app = create_app([*default_components(full), Component(name="things", routers=[router])], full)
    async with Opened(app) as opened:
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(opened), base_url="http://service")
        health: dict[str, Any] = {"status": "ok"}
        while health["status"] == "ok":
            assert (await client.post("/things/7")).status_code == 200
            health = (await client.get("/health")).json()
        assert health["parts"]["log_files"]["status"] == "failed"
        assert (await client.get("/health/ready")).status_code == 200
        await client.aclose()
    errors = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["level"] == "error"]
    assert [line["event"].partition(" (")[0] for line in errors] == ["log files cannot be written"]
    assert "No space left on device" in errors[0]["event"]


async def test_a_logger_may_have_a_file_of_its_own(settings: Callable[..., Settings], read: Read) -> None:
    own = settings(streams={"billing": {"logger": "app.features.billing", "size": 5000, "days": 3}})
    app = create_app(default_components(own), own)
    async with Opened(app):
        logging.getLogger("app.features.billing").info("a bill")
        logging.getLogger("app.features.billing.tax").error("a tax")
        logging.getLogger("app.features.billings").info("another one")
    assert [line["event"] for line in read("billing")] == ["a bill", "a tax"]
    assert [line["event"] for line in read("errors")] == ["a tax"]
    others = [line["event"] for line in read("app")]
    assert ("another one" in others, "a bill" in others) == (True, False)
    files = own.of(LogFilesSettings)
    assert (files.size("billing"), files.days("billing"), files.days("app")) == (5000, 3, 30)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LOG_FILES__STREAMS__AUDIT__LOGGER", "app", "LOG_FILES__STREAMS: has audit: a file has a name of letters"),
        ("LOG_FILES__STREAMS__MY_BILLS__LOGGER", "app", "LOG_FILES__STREAMS: has my_bills: a file has a name"),
        ("LOG_FILES__STREAMS__BILLS__DAYS", "3", "LOG_FILES__STREAMS__BILLS__LOGGER: is required"),
        ("LOG_FILES__STREAMS__BILLS__DAY", "3", "LOG_FILES__STREAMS__BILLS__DAY: unknown setting, remove it"),
    ],
)
def test_a_wrong_file_is_refused_by_name(variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationInvalid) as caught:
        load([LogFilesSettings], env_file=None)
    assert any(line.startswith(said) for line in caught.value.mistakes), caught.value.mistakes
