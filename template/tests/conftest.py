"""The shipped service with a database of its own: `client` for most tests, `start` for one with other settings."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from pkgutil import iter_modules
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.component import Component
from app.core.http.application import Service
from app.core.http.security import HttpSettings
from app.core.http.websockets import WebSocketSettings
from app.core.server.protocol import BoundedProtocol
from app.core.server.websockets import BoundedWebSocket
from app.core.settings import Settings, load
from app.main import SETTINGS, create_app, default_components
from tests.database import databases

ROOT = Path(__file__).parents[1]
pytest_plugins = [f"tests.options.{found.name}" for found in iter_modules([str(ROOT / "tests" / "options")])]
Serve = Callable[..., Awaitable[ASGIApp]]
Start = Callable[..., Awaitable[httpx2.AsyncClient]]
Listen = Callable[..., Awaitable[str]]
NewDatabase = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop that the service runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the settings, or touches the database, of the machine that it runs on."""
    for variable in os.environ:
        if "__" in variable.strip("_"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("SECRETS_DIR", os.devnull)
    monkeypatch.setenv("ENV_FILE", os.devnull)


@pytest.fixture(scope="session")
def new_database() -> Iterator[NewDatabase]:
    """Opens a migrated database, which is gone at the end: `with new_database() as url`.

    Not in a folder of pytest's: where root runs the tests a server runs as another user, whom every further run of
    pytest on the machine would shut out of there.
    """
    with TemporaryDirectory(prefix="databases-") as directory, databases(Path(directory), migrate) as new:
        yield new


@pytest.fixture
def database_url(new_database: NewDatabase) -> Iterator[str]:
    """The URL of a migrated database that no other test uses."""
    with new_database() as url:
        yield url


@pytest.fixture
def configured(database_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings for a test: `configured(http={"body_limit": 100})`. Folders with a default are below the test's own."""

    def configure(**groups: Mapping[str, Any]) -> Settings:
        overrides: dict[str, dict[str, Any]] = {"service": {"environment": "test"}, "database": {"url": database_url}}
        for known in SETTINGS:
            defaults = {name: field.default for name, field in known.model_fields.items()}
            folders = {name: str(tmp_path / path) for name, path in defaults.items() if isinstance(path, Path)}
            overrides[known.group] = {**overrides.get(known.group, {}), **folders}
        for group, values in groups.items():
            overrides[group] = {**overrides.get(group, {}), **values}
        return load(SETTINGS, env_file=None, overrides=overrides)

    return configure


@pytest.fixture
def resources() -> dict[str, Any]:
    """The open resources of the service that the test opened last: `resources["database"]`."""
    return {}


@pytest.fixture
async def serve(configured: Callable[..., Settings], resources: dict[str, Any]) -> AsyncIterator[Serve]:
    """Opens the service, and returns it as a server would call it: for what a client cannot see."""
    async with AsyncExitStack() as stack:

        async def open_service(*, extra: Sequence[Component] = (), **groups: Mapping[str, Any]) -> ASGIApp:
            settings = configured(**groups)
            app = create_app([*default_components(settings), *extra], settings)
            opened = Opened(app)
            served = await stack.enter_async_context(opened)
            resources.update(opened.state)
            return served

        yield open_service


@pytest.fixture
async def start(serve: Serve) -> AsyncIterator[Start]:
    """Opens the service, and returns a client of it: `await start(http={...}, extra=[component])`."""
    async with AsyncExitStack() as stack:

        async def open_client(
            *, extra: Sequence[Component] = (), address: str = "127.0.0.1", **groups: Mapping[str, Any]
        ) -> httpx2.AsyncClient:
            transport = httpx2.ASGITransport(await serve(extra=extra, **groups), client=(address, 123))
            return await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://service"))

        yield open_client


@pytest.fixture
async def listen(serve: Serve, configured: Callable[..., Settings]) -> AsyncIterator[Listen]:
    """Opens the service on a port, and returns the address of its WebSockets: `await listen(extra=[component])`."""
    async with AsyncExitStack() as stack:

        async def open_port(*, extra: Sequence[Component] = (), **groups: Mapping[str, Any]) -> str:
            settings = configured(**groups)
            app = await serve(extra=extra, **groups)
            listening = listening_on_a_port(
                app, http=settings.of(HttpSettings), websockets=settings.of(WebSocketSettings)
            )
            _, url = await stack.enter_async_context(listening)
            return url

        yield open_port


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    """A client of the shipped service."""
    return await start()


class Opened:
    """The application between its start and its stop, with the state that a server would hand to each request."""

    def __init__(self, app: Service) -> None:
        self.app = app
        self.lifespan = app.router.lifespan_context(app)
        self.state: dict[str, Any] = {}

    async def __aenter__(self) -> ASGIApp:
        self.state = dict(await self.lifespan.__aenter__() or {})

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "state": dict(self.state)}, receive, send)

        return serve

    async def __aexit__(self, *error: object) -> None:
        await self.lifespan.__aexit__(None, None, None)


@asynccontextmanager
async def listening_on_a_port(
    app: Any, *, http: HttpSettings | None = None, websockets: WebSocketSettings | None = None
) -> AsyncIterator[tuple[uvicorn.Server, str]]:
    """Serve an application in this process, and yield the server and the address of its WebSockets."""
    config = uvicorn.Config(
        app,
        port=0,
        http=BoundedProtocol,
        ws=BoundedWebSocket,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    server.lifespan.state.update({"http": http or HttpSettings(), "websockets": websockets or WebSocketSettings()})
    await server.startup()
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield server, f"ws://{host}:{port}"
    finally:
        for opened in server.servers:
            opened.close()
        if server.server_state.tasks:
            await asyncio.wait({*server.server_state.tasks}, timeout=5)


def environment(url: str) -> dict[str, str]:
    """The environment of a command on a database, without the settings of the machine that it runs on."""
    inherited = {name: value for name, value in os.environ.items() if "__" not in name.strip("_")}
    given = {"DATABASE__URL": url, "SERVICE__ENVIRONMENT": "test", "ENV_FILE": os.devnull, "SECRETS_DIR": os.devnull}
    return {**inherited, **given}


def alembic(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `alembic` on a database."""
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=environment(url),
        capture_output=True,
        text=True,
        check=False,
    )


def migrate(url: str) -> None:
    """Bring a database to the newest revision."""
    done = alembic(url, "upgrade", "head")
    assert done.returncode == 0, done.stdout + done.stderr
