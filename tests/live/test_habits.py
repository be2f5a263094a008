"""The commands that FastAPI users type serve the service, with the servers that it needs in development."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from tests.live.conftest import Make
from tests.live.environment import clean
from tests.live.service import BOUND, ORDERS, Rendered, free_port, order
from tests.tree import CHOICES

COMMANDS = {
    "fastapi dev": "fastapi dev --port {port}",
    "fastapi run": "fastapi run --port {port}",
    "uvicorn": "uvicorn app.asgi:app --reload --port {port}",
    "uvicorn main": "uvicorn app.main:app --port {port}",
    "module": "python -m app",
    "debugger": "python -X frozen_modules=off -m trace --count --missing --coverdir {folder} "
    "--ignore-dir {prefix} --module uvicorn app.asgi:app --port {port}",
}
GATE = {("postgres", "fastapi dev"), ("sqlite", "uvicorn")}
CASES = [
    pytest.param(database, name, marks=[] if (database, name) in GATE else [pytest.mark.full])
    for database in CHOICES["database"]
    for name in COMMANDS
]
EXTENSIONS = {"sqlite": [], "postgres": ["redis"]}


@contextmanager
def running(service: Rendered, command: str, log: Path, **settings: str) -> Iterator[httpx2.Client]:
    """A command that serves on a free port, as soon as it answers."""
    port = free_port()
    words = command.format(port=port, folder=log.parent, prefix=service.python.parents[1]).split()
    environment = clean() | {"SERVER__PORT": str(port), "SECRETS_DIR": os.devnull, **settings}
    environment["PATH"] = f"{service.python.parent}{os.pathsep}{environment['PATH']}"
    with log.open("w") as stream, httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=BOUND) as http:
        process = subprocess.Popen(
            words, cwd=service.root, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            deadline = time.monotonic() + BOUND
            while time.monotonic() < deadline:
                assert process.poll() is None, log.read_text()
                with suppress(httpx2.TransportError):
                    http.get("/health/live", timeout=5)
                    break
                time.sleep(0.05)
            yield http
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=BOUND)


@pytest.fixture(scope="module")
def developed(rendered: Make) -> Make:
    """A service as `make setup` leaves it: with an `.env`, and a migrated database of its own below it."""
    made: dict[str, Rendered] = {}

    def make(database: str) -> Rendered:
        if database not in made:
            service = rendered(copy=True, migrated=False, url="", database=database, extensions=EXTENSIONS[database])
            (service.root / ".env").write_text("SERVICE__ENVIRONMENT=development\n")
            migrated = service.run("alembic", "upgrade", "head", settings={"SERVICE__ENVIRONMENT": "development"})
            assert migrated.returncode == 0, migrated.stdout
            made[database] = service
        return made[database]

    return make


def servers(service: Rendered) -> list[str]:
    """The processes that have files of the service's own servers open, by their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += [words for words in [path.read_text()] if f"{service.root}/.local" in words]
    return found


@pytest.mark.parametrize(("database", "name"), CASES)
def test_the_command_serves_with_all_that_the_service_needs(
    database: str, name: str, developed: Make, tmp_path: Path
) -> None:
    service = developed(database)
    with running(service, COMMANDS[name], tmp_path / "log") as http:
        assert http.get("/health/ready").status_code == 200, (tmp_path / "log").read_text()
        assert http.post(ORDERS, json=order(name)).status_code == 201
        assert bool(servers(service)) == (database == "postgres")
    deadline = time.monotonic() + BOUND
    while servers(service):
        assert time.monotonic() < deadline, f"left running: {servers(service)}"
        time.sleep(0.05)


def test_a_wrong_setting_is_one_line(developed: Make) -> None:
    service = developed("sqlite")
    settings = {"SERVICE__ENVIRONMENT": "development", "HTTP__BODY_LIMIT": "much"}
    for module in ("app.asgi:app", "app.main:app"):
        done = service.run("uvicorn", module, settings=settings)
        (line,) = done.stdout.splitlines()
        assert done.returncode == 2
        assert "HTTP__BODY_LIMIT: " in line


def test_uvicorns_own_prefix_is_in_every_link(developed: Make, tmp_path: Path) -> None:
    command = "uvicorn app.asgi:app --root-path /shop --port {port}"
    with running(developed("sqlite"), command, tmp_path / "log") as http:
        assert http.get("/health/ready").status_code == 200
        assert http.get(ORDERS).json()["links"]["self"] == f"/shop{ORDERS}"
        placed = http.post(ORDERS, json=order("prefix"))
        assert placed.headers["location"].startswith(f"/shop{ORDERS}/")
        assert http.get("/openapi.json").json()["servers"] == [{"url": "/shop"}]
        assert http.get("/docs/redoc.standalone.js").status_code == 200
        records = [line for line in (tmp_path / "log").read_text().splitlines() if "[access]" in line]
    assert all(" path=/api" in line or " path=/docs" in line or " path=/openapi" in line for line in records)
