"""The command `python -m app`, the server that it starts, and how that stops."""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import anyio
import anyio.lowlevel
import pytest
import uvicorn

from app import __main__, main
from app.core.component import Component, State, opened_in_order
from app.core.data import migrations
from app.core.http.lifecycle import Lifecycle
from app.core.server.serve import APP
from app.core.settings import ServiceSettings
from app.main import SETTINGS, default_components
from tests.conftest import Start


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> list[uvicorn.Config]:
    """The configurations that the server would have been started with. Default folders are below the test's own."""
    calls: list[uvicorn.Config] = []
    for known in SETTINGS:
        for name, field in known.model_fields.items():
            if isinstance(field.default, Path):
                monkeypatch.setenv(f"{known.group}__{name}".upper(), str(tmp_path / field.default))
    monkeypatch.setattr(sys, "argv", ["app"])
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: calls.append(uvicorn.Config(app, **options)))
    monkeypatch.setenv("DATABASE__URL", database_url)
    monkeypatch.setenv("SERVER__PORT", str(free_port()))
    return calls


def test_an_owners_file_of_an_older_release_calls_its_settings_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "features", SimpleNamespace(GROUPS=[ServiceSettings]))
    with pytest.warns(DeprecationWarning, match=r"^app\.main reads SETTINGS of app\.features"):
        assert main._settings_of_features() == [ServiceSettings]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_command_serves_as_the_settings_say(served: list[uvicorn.Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER__KEEP_ALIVE", "7")
    monkeypatch.setenv("SERVER__TRUSTED_PROXIES", "10.0.0.0/8,127.0.0.1")
    assert __main__.main() == 0
    (config,) = served
    assert config.app == "app.asgi:app"
    assert config.timeout_keep_alive == 7
    assert config.forwarded_allow_ips == ["10.0.0.0/8", "127.0.0.1"]
    assert (config.server_header, config.access_log, config.log_config) == (False, False, None)


def test_a_wrong_setting_stops_it_with_a_line_and_no_traceback(
    served: list[uvicorn.Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVER__PORT", "0")
    monkeypatch.setenv("LOG__LEVLE", "INFO")
    assert __main__.main() == 2
    lines = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(line.partition(":")[0] for line in lines) == ["LOG__LEVLE", "SERVER__PORT"]
    assert served == []


def test_a_wrong_setting_at_a_reload_is_a_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG__LEVLE", "INFO")
    config = uvicorn.Config(APP, factory=True, log_config=None)
    with pytest.raises(SystemExit) as stopped:
        config.load()
    assert stopped.value.code == 2
    lines = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert "LOG__LEVLE: unknown setting, did you mean LOG__LEVEL?" in lines


def test_a_port_in_use_is_one_line(
    served: list[uvicorn.Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("SERVER__PORT", str(taken.getsockname()[1]))
        assert __main__.main() == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"].startswith("SERVER__PORT: cannot listen on 127.0.0.1:")
    assert served == []


def test_another_process_of_the_service_runs_with_everything_open(
    served: list[uvicorn.Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[State] = []

    async def sweep(state: State) -> None:
        assert isinstance(state["lifecycle"], Lifecycle)
        assert state["lifecycle"].ready
        seen.append(state)

    swept = Component(name="swept", processes={"sweep": sweep})
    monkeypatch.setattr(__main__, "default_components", lambda settings: [*default_components(settings), swept])
    monkeypatch.setattr(sys, "argv", ["app", "sweep"])
    assert __main__.main() == 0
    (state,) = seen
    assert state["lifecycle"].draining
    assert served == []


def test_a_process_that_nobody_offers_is_one_line(
    served: list[uvicorn.Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["app", "sweep"])
    assert __main__.main() == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"].startswith("there is no process 'sweep': ")
    assert served == []


def test_a_process_whose_database_is_not_ready_may_be_started_again(
    served: list[uvicorn.Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def sweep(_: State) -> None:
        """Do nothing."""

    swept = Component(name="swept", processes={"sweep": sweep})
    monkeypatch.setattr(__main__, "default_components", lambda settings: [*default_components(settings), swept])
    monkeypatch.setattr(sys, "argv", ["app", "sweep"])
    monkeypatch.setattr(migrations, "heads", lambda: {"a newer one"})
    assert __main__.main() == 3  # units of systemd restart a process unless it ends with 2
    (line,) = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines() if '"error"' in line]
    assert line.startswith("the database is at revision ")
    assert served == []


async def test_on_sigterm_it_drains_and_then_stops(start: Start) -> None:
    stopped = anyio.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        client = await start(lifecycle={"drain": 0.1})
        assert (await client.get("/health/ready")).status_code == 200
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.lowlevel.checkpoint()
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).headers["connection"] == "close"
        assert not stopped.is_set()
        with anyio.fail_after(5):
            await stopped.wait()
    finally:
        signal.signal(signal.SIGTERM, previous)


async def test_components_open_in_order_and_close_in_reverse() -> None:
    seen: list[str] = []

    def part(name: str, *, fails: bool = False) -> Component:
        class Lifespan:
            async def __aenter__(self) -> State:
                if fails:
                    raise RuntimeError(name)
                seen.append(f"{name} opens")
                return {name: 1}

            async def __aexit__(self, *_: object) -> None:
                seen.append(f"{name} closes")

        return Component(name=name, lifespan=lambda _: Lifespan())

    async with opened_in_order([part("a"), part("b")])(None) as state:  # type: ignore[arg-type]
        assert state == {"a": 1, "b": 1}
    assert seen == ["a opens", "b opens", "b closes", "a closes"]
    seen.clear()
    with pytest.raises(RuntimeError, match="c"):
        await opened_in_order([part("a"), part("c", fails=True)])(None).__aenter__()  # type: ignore[arg-type]
    assert seen == ["a opens", "a closes"]
    with pytest.raises(ValueError, match="already opened 'a'"):
        await opened_in_order([part("a"), part("a")])(None).__aenter__()  # type: ignore[arg-type]
