"""One pipe for every line, whoever writes it."""

import asyncio
import gc
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextvars import Context
from datetime import datetime, timedelta

import pytest
import structlog

from app.core.context import RequestContext, enter
from app.core.observability.logging import LogSettings, StdoutHandler, configure
from tests.core.conftest import Lines

FIELDS = {"event", "level", "logger", "timestamp", "module", "func_name", "lineno", "process", "thread"}


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    configure(LogSettings(format="auto", level="INFO"), service="shop", version="1.2.3", production=True)
    yield
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


def test_a_line_has_every_field(log_lines: Lines) -> None:
    logging.getLogger("app.here").info("sold %s", "it", extra={"count": 3})
    (line,) = log_lines()
    assert line.keys() >= FIELDS
    assert {"event": "sold it", "level": "info", "logger": "app.here", "count": 3}.items() <= line.items()
    assert {"service": "shop", "version": "1.2.3", "module": "test_logging"}.items() <= line.items()
    assert line["func_name"] == "test_a_line_has_every_field"
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)


def test_structlog_goes_through_the_same_pipe(log_lines: Lines) -> None:
    structlog.get_logger("app.there").warning("low", stock=1)
    (line,) = log_lines()
    assert line.keys() >= FIELDS
    assert {"event": "low", "level": "warning", "logger": "app.there", "stock": 1}.items() <= line.items()


def test_the_level_holds_for_both(log_lines: Lines) -> None:
    logging.getLogger("quiet").debug("no")
    structlog.get_logger("quiet").debug("no")
    assert log_lines() == []


def test_a_library_logs_from_a_level_of_its_own(log_lines: Lines) -> None:
    library = compile("log.debug('noise'); log.info('news')", "/srv/.venv/lib/python3/site-packages/chatty.py", "exec")
    for libraries, told in (("INFO", ["news"]), ("WARNING", []), ("DEBUG", ["noise", "news"])):
        settings = LogSettings.model_validate({"level": "DEBUG", "libraries": libraries})
        configure(settings, service="shop", version="1", production=True)
        logging.getLogger("app").debug("ours")
        exec(library, {"log": logging.getLogger("chatty")})  # noqa: S102  # a caller that is in site-packages
        assert [line["event"] for line in log_lines()] == ["ours", *told]


def test_a_line_of_a_request_says_what_and_who(log_lines: Lines) -> None:
    def lines_of_a_request() -> None:
        request = RequestContext(method="GET", path="/reset/token=s3cr3t")
        enter(request)
        logging.getLogger("app").info("before")
        request.principal = "user:ada"
        logging.getLogger("app").info("after", extra={"path": "/srv/file"})

    Context().run(lines_of_a_request)
    before, after = log_lines()
    assert (before["method"], before["path"]) == ("GET", "/reset/token=[redacted]")
    assert "principal" not in before
    assert (after["principal"], after["path"]) == ("user:ada", "/srv/file")


def test_configuring_twice_writes_each_line_once(log_lines: Lines) -> None:
    configure(LogSettings(), service="shop", version="1.2.3", production=True)
    logging.getLogger("once").info("once")
    assert len(log_lines()) == 1


def test_a_traceback_is_one_line_without_secrets(log_lines: Lines) -> None:
    try:
        raise ValueError("wrong password=s3cr3t")  # noqa: TRY301  # what is logged is seen here
    except ValueError:
        logging.getLogger("failing").exception("no luck", extra={"headers": {"Authorization": "s3cr3t"}})
    (line,) = log_lines()
    assert "Traceback" in line["exception"]
    assert "s3cr3t" not in json.dumps(line)


def test_a_warning_is_a_line(log_lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)  # pytest took its place: put it back
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    (line,) = log_lines()
    assert "old ways" in line["event"]
    assert line["logger"] == "py.warnings"


def test_an_uncaught_exception_is_a_line(log_lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    sys.excepthook(ValueError, ValueError("token=s3cr3t"), None)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

    class Unclean:
        def __del__(self) -> None:
            raise ValueError("in __del__")

    Unclean()
    gc.collect()
    first, second, third = log_lines()
    assert first["event"] == "uncaught ValueError"
    assert "s3cr3t" not in first["exception"]
    assert "ZeroDivisionError" in second["exception"]
    assert "in __del__" in third["exception"]
    assert capsys.readouterr().err == ""


def test_an_interrupt_by_hand_is_no_error(log_lines: Lines) -> None:
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert log_lines() == []


def test_an_error_in_a_forgotten_task_is_a_line(log_lines: Lines) -> None:
    async def fail() -> None:
        raise ValueError("no one waits")

    async def forget() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task

    asyncio.run(forget())
    gc.collect()
    assert any("no one waits" in line.get("exception", "") for line in log_lines())


@pytest.mark.parametrize("value", [2**70, "half a pair: \ud800", {("a", 1): object()}, {1, 2}, b"\xff"])
def test_any_value_can_be_logged(log_lines: Lines, capsys: pytest.CaptureFixture[str], value: object) -> None:
    logging.getLogger("odd").info("odd", extra={"value": value})
    (line,) = log_lines()
    assert (line["event"], "value" in line, capsys.readouterr().err) == ("odd", True, "")


def test_a_line_that_cannot_be_made_is_told(
    log_lines: Lines, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()  # where pytest listens too, and raises
    monkeypatch.setattr(root, "handlers", [handler for handler in root.handlers if isinstance(handler, StdoutHandler)])
    logging.getLogger("wrong").info("%d pieces", "no number")
    (line,) = log_lines()
    assert "cannot be made" in line["event"]
    assert "test_logging.py" in line["event"]
    assert capsys.readouterr().err == ""


def test_a_stream_that_takes_nothing_costs_the_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _: str) -> None:
            raise OSError("no space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    logging.getLogger("full").info("lost")


def test_at_a_desk_a_line_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(), service="shop", version="1.2.3", production=False)
    try:
        raise ValueError("password=s3cr3t")  # noqa: TRY301  # what is logged is seen here
    except ValueError:
        logging.getLogger("app.here").exception("sold", extra={"token": "s3cr3t"})
    shown = capsys.readouterr().out
    assert "sold" in shown
    assert "Traceback" in shown
    assert not shown.startswith("{")
    assert "lineno" not in shown
    assert "s3cr3t" not in shown
