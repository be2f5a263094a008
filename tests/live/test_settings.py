"""A wrong, missing, unknown or default setting stops the start, with one line for each mistake and no traceback."""

import json
import re
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.live.conftest import Make, Run
from tests.live.environment import clean
from tests.live.service import Rendered, free_port

MISTAKES = {
    "wrong type": ({"HTTP__BODY_LIMIT": "many"}, ["HTTP__BODY_LIMIT: "]),
    "wrong choice": ({"LOG__LEVEL": "LOUD"}, ["LOG__LEVEL: "]),
    "out of range": ({"SERVER__PORT": "99999"}, ["SERVER__PORT: "]),
    "unknown field": (
        {"DATABASE__POOLSIZE": "5"},
        ["DATABASE__POOLSIZE: unknown setting, did you mean DATABASE__POOL_SIZE?"],
    ),
    "misspelt group": (
        {"DATABSE__POOL_SIZE": "5"},
        ["DATABSE__POOL_SIZE: unknown setting, did you mean DATABASE__POOL_SIZE?"],
    ),
    "placeholder": ({"HEALTH__KEY": "change-me-change-me"}, ["HEALTH__KEY: still holds the placeholder"]),
    "short secret": ({"HEALTH__KEY": "short"}, ["HEALTH__KEY: "]),
    "wrong URL": ({"DATABASE__URL": "mysql://nowhere"}, ["DATABASE__URL: has to look like "]),
    "two settings at odds": (
        {"HTTP__CORS_ORIGINS": "*", "HTTP__CORS_CREDENTIALS": "true"},
        ["HTTP: HTTP__CORS_CREDENTIALS does not go with `*` in HTTP__CORS_ORIGINS"],
    ),
    "three at once": (
        {"LOG__LEVEL": "LOUD", "SERVER__WORKERS": "0", "SERVICE__ENVIRONMEN": "production"},
        ["SERVICE__ENVIRONMEN: unknown setting", "LOG__LEVEL: ", "SERVER__WORKERS: "],
    ),
}


@pytest.fixture(scope="module")
def service(base: str, rendered: Make) -> Rendered:
    """A service that only waits for good settings."""
    return rendered(database=base)


def refused(rendered: Rendered, *command: str, **settings: str) -> list[str]:
    """Return the complaints of a command that does not start: every line is JSON, and none a traceback."""
    settings = {"SERVER__PORT": str(free_port()), **settings}
    done = rendered.run(*(command or ("app",)), settings=settings)
    assert done.returncode not in {0, -6, -11}, done.stdout
    assert "Traceback" not in done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [str(line["event"]) for line in lines if line["level"] not in {"info", "debug"}]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_one_line(mistake: str, rendered: Make) -> None:
    settings, expected = MISTAKES[mistake]
    said = refused(rendered(migrated=False, url="sqlite:///unused.db"), **settings)
    assert len(said) == len(expected), said
    for start in expected:
        assert any(line.startswith(start) for line in said), (start, said)


def test_an_example_of_a_url_is_shown_as_it_is(rendered: Make) -> None:
    service = rendered(extensions=["redis"], migrated=False, url="sqlite:///unused.db")
    assert refused(service, REDIS__URL="http://x") == ["REDIS__URL: has to look like redis://host:6379/0"]


def test_migrations_refuse_the_same(service: Rendered) -> None:
    settings, expected = MISTAKES["three at once"]
    assert len(refused(service, "alembic", "upgrade", "head", **settings)) == len(expected)


def test_a_line_shows_the_value_but_never_a_secret(service: Rendered) -> None:
    said = refused(service, LOG__LEVEL="LOUD", HEALTH__KEY="tell-no-one")
    assert "'LOUD'" in "".join(said)
    assert "tell-no-one" not in "".join(said)


def test_at_a_desk_the_lines_are_for_people(service: Rendered) -> None:
    done = service.run("app", settings={"SERVICE__ENVIRONMENT": "development", "LOG__LEVEL": "LOUD"})
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()
    assert "LOG__LEVEL: " in line
    assert not line.startswith("{")


def test_without_a_url_of_a_server_there_is_no_start(rendered: Make) -> None:
    service = rendered(database="postgres", migrated=False, url="")
    assert refused(service) == ["DATABASE__URL: is required, see docs/configuration.md"]


def test_what_others_set_is_nobodys_mistake(service: Rendered, run: Run) -> None:
    # Kubernetes sets REDIS_PORT for a service of that name, and a shell may have anything.
    run(service, DATABASE="x", LOG="1", REDIS_PORT="tcp://10.0.0.1:6379", QT__SCALE="2", HTTP_PROXY__X="y")


def test_the_first_source_wins(rendered: Make, run: Run, tmp_path: Path) -> None:
    service = rendered(copy=True)
    (tmp_path / "service__name").write_text("from-secret")
    (tmp_path / "service__version").write_text("from-secret")
    (tmp_path / "health__key").write_text("from-secret-0123456789")
    (service.root / ".env").write_text("SERVICE__NAME=from-file\nSERVICE__VERSION=from-file\n")
    started = run(service, SECRETS_DIR=str(tmp_path), SERVICE__NAME="from-environment")
    started.http.get("/nowhere")
    (line,) = started.logged(event="request", path="/nowhere")
    assert (line["service"], line["version"]) == ("from-environment", "from-file")
    headers = {"x-forwarded-for": "8.8.8.8", "x-health-key": "from-secret-0123456789"}
    assert started.http.get("/health", headers=headers).status_code == 200
    assert started.http.get("/health", headers=headers | {"x-health-key": "x"}).status_code == 401


def test_a_wrong_secret_file_is_named(rendered: Make, tmp_path: Path) -> None:
    (tmp_path / "health__kye").write_text("0123456789abcdef")
    said = refused(rendered(), SECRETS_DIR=str(tmp_path))
    assert said == ["HEALTH__KYE: unknown setting, did you mean HEALTH__KEY?"]


def test_a_port_in_use_is_one_line(service: Rendered) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (said,) = refused(service, SERVER__PORT=str(port))
    assert f"SERVER__PORT: cannot listen on 127.0.0.1:{port} (Address already in use)" in said


def test_an_address_of_another_machine_is_one_line(service: Rendered) -> None:
    (said,) = refused(service, SERVER__HOST="192.0.2.1")
    assert said.startswith("SERVER__PORT: cannot listen on 192.0.2.1:")


@pytest.mark.parametrize("command", [("app",), ("alembic", "upgrade", "head")], ids=["serving", "migrating"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:topsecret@127.0.0.1:1/service",
        "postgresql://user:topsecret@nowhere.invalid:5432/service",
        "postgresql:///service?host=/nowhere",
    ],
    ids=["refused", "unknown host", "no socket"],
)
def test_an_unreachable_server_is_one_line(url: str, command: tuple[str, ...], rendered: Make) -> None:
    (said,) = refused(rendered(database="postgres", migrated=False, url=url), *command)
    assert re.match(r"DATABASE__URL: cannot use postgresql\+asyncpg://\S+ \(.+\): ", said), said
    assert "topsecret" not in said


@pytest.mark.parametrize("command", [("app",), ("alembic", "upgrade", "head")], ids=["serving", "migrating"])
def test_a_database_that_the_server_lacks_is_one_line(
    command: tuple[str, ...], rendered: Make, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("postgres_server")
    service = rendered(database="postgres", migrated=False)
    service.database = service.database.replace("live_", "missing_")
    (said,) = refused(service, *command)
    assert "DATABASE__URL: cannot use" in said
    assert "does not exist" in said


@pytest.mark.parametrize("command", [("app",), ("alembic", "upgrade", "head")], ids=["serving", "migrating"])
def test_a_file_that_is_no_database_is_one_line(command: tuple[str, ...], rendered: Make, tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    path.write_bytes(b"not a database at all, but long enough to be one" * 100)
    (said,) = refused(rendered(migrated=False, url=f"sqlite+aiosqlite:///{path}"), *command)
    assert said.startswith("DATABASE__URL: cannot use sqlite+aiosqlite:///")


@pytest.mark.parametrize("command", [("app",), ("alembic", "upgrade", "head")], ids=["serving", "migrating"])
def test_a_place_that_cannot_hold_a_file_is_one_line(command: tuple[str, ...], rendered: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (said,) = refused(rendered(migrated=False, url=f"sqlite+aiosqlite:///{tmp_path}/file/service.db"), *command)
    assert said.startswith("DATABASE__URL: cannot use sqlite+aiosqlite:///")


def test_an_unmigrated_database_is_one_line_and_stays_as_it_is(base: str, rendered: Make, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    url = f"sqlite+aiosqlite:///{new}" if base == "sqlite" else None
    (said,) = refused(rendered(database=base, migrated=False, url=url))
    if base == "sqlite":
        assert f"{new} does not exist: run `make migrate`, which makes it" in said
        assert not new.exists()
        sqlite3.connect(new).execute("CREATE TABLE others (id INTEGER)")
        (said,) = refused(rendered(database=base, migrated=False, url=url))
    assert "the database is at revision none and this version of the service needs 0001: run `make migrate`" in said


def test_a_service_that_starts_elsewhere_has_its_own_settings_and_its_own_database(
    rendered: Make, tmp_path: Path
) -> None:
    made = rendered(copy=True)
    (made.root / ".env").write_text("DATABASE__URL=sqlite+aiosqlite:///./var/own.db\nSERVER__PORT=4321\n")
    script = "from app.main import load_settings as load; from app.core import engine, protocol, server; s = load();"
    script += "print(s.of(engine.DatabaseSettings).url, s.of(server.ServerSettings).port)"
    done = subprocess.run(
        [made.python, "-c", script],
        cwd=tmp_path,
        env=clean() | {"PYTHONPATH": str(made.root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == [f"sqlite+aiosqlite:///{made.root / 'var/own.db'}", "4321"], done.stderr
