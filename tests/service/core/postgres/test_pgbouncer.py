"""PgBouncer between the service and PostgreSQL, in both modes of its pool."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fastapi import APIRouter
from sqlalchemy import func, make_url, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import cast

from app.core.component import Component
from app.core.data.engine import DatabaseSettings, create_for_migrations
from app.core.database import DatabaseDep
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings
from tests.conftest import Start
from tests.core import things
from tests.core.things import Thing

pytestmark = pytest.mark.anyio

LIMITS = "statement_timeout,lock_timeout,idle_in_transaction_session_timeout"
Pooler = Callable[..., str]


@pytest.fixture(scope="module")
def pooler(shared_database_url: str) -> Iterator[Pooler]:
    """Starts PgBouncer before the tests' database, and returns its URL."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "pgbouncer is missing: install it with `apt-get install pgbouncer`"
    server = make_url(shared_database_url)
    host = str(server.query.get("host", server.host))
    started = []
    with TemporaryDirectory(prefix="pgbouncer-") as directory:

        def start(mode: str, *, ignored: str = "") -> str:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            file = Path(directory, f"{port}.ini")
            password = f"password={server.password}" if server.password else ""
            file.write_text(
                f"[databases]\n* = host={host} port={server.port or 5432} user={server.username} {password}\n"
                f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\n"
                f"pool_mode={mode}\ndefault_pool_size={20 if mode == 'session' else 3}\n"
                f"ignore_startup_parameters={ignored}\n"
            )
            command = [program, "--quiet", str(file)]
            if os.geteuid() == 0:  # it refuses to run as root, and only the owner reaches the socket of the server
                owner = Path(host).owner() if host.startswith("/") else "nobody"
                Path(directory).chmod(0o755)
                command = ["runuser", "-u", owner, "--", *command]
            started.append(subprocess.Popen(command))
            until = time.monotonic() + 10
            while time.monotonic() < until:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        return f"postgresql://{server.username}@127.0.0.1:{port}/{server.database}"
                time.sleep(0.05)
            raise TimeoutError("pgbouncer does not listen")

        try:
            yield start
        finally:
            for process in started:
                process.terminate()
                process.wait(10)


def routes() -> Component:
    router = APIRouter()

    @router.get("/things")
    async def read(database: DatabaseDep) -> int:
        async with database.read(timeout=2.5) as connection:
            found = await connection.scalar(select(func.count()).select_from(Thing))
            return await connection.scalar(select(func.jsonb_array_length(cast([found], JSONB)))) or 0

    @router.post("/things")
    async def write(database: DatabaseDep) -> int:
        async with database.transaction(timeout=2.0) as session:
            await session.execute(update(Thing).values(amount=Thing.amount + 1))
            return int(await session.scalar(select(Thing.amount)) or 0)

    @router.get("/limit")
    async def limit(database: DatabaseDep) -> str:
        async with database.read() as connection:
            return str(await connection.scalar(text("SHOW statement_timeout")))

    return things.component(router)


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_the_service_works_through_pgbouncer(mode: str, pooler: Pooler, start: Start) -> None:
    url = f"{pooler(mode)}?pgbouncer=true"
    client = await start(extra=[routes()], database={"url": url, "pool_size": 15, "pool_overflow": 0})
    calls = [call for _ in range(40) for call in (client.post("/things"), client.get("/things"), client.get("/limit"))]
    answers = await asyncio.gather(*calls)
    assert [answer.status_code for answer in answers] == [200] * 120
    assert {answer.json() for answer in answers[2::3]} == {"0"}  # no request leaves its limit to another one
    assert (await client.post("/things")).json() == 42
    assert (await client.get("/health/ready")).status_code == 200


@pytest.mark.parametrize(
    ("ignored", "said"),
    [
        ("", "(unsupported startup parameter: statement_timeout): that is PgBouncer, so add pgbouncer=true"),
        (LIMITS, "if it is PgBouncer, add pgbouncer=true"),
    ],
)
async def test_pgbouncer_that_nobody_named_stops_the_start(
    ignored: str, said: str, pooler: Pooler, start: Start
) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        await start(database={"url": pooler("transaction", ignored=ignored)})
    (line,) = caught.value.mistakes
    assert said in line


def test_migrations_ask_for_the_server_itself(configured: Callable[..., Settings]) -> None:
    settings = configured(database={"url": "postgresql://h/d?pgbouncer=true"}).of(DatabaseSettings)
    with pytest.raises(ConfigurationInvalid, match="migrations do not go through PgBouncer"):
        create_for_migrations(settings)
