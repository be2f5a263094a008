"""Fixtures of the tool's tests: the tool with a database of its own, rows in it, and a store."""

import asyncio
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.core.data.engine import DatabaseSettings
from ops.backups.command import main
from ops.backups.sealing import new_key

KEY = new_key().splitlines()[-1]


@dataclass
class Said:
    """The result of a command."""

    status: int
    out: str
    error: str


Ops = Callable[..., Said]


def execute(url: str, *statements: str) -> list[list[object]]:
    """Do something in a database, and return the rows that the last statement gives."""

    async def run() -> list[list[object]]:
        engine = create_async_engine(DatabaseSettings(url=url).url)
        found: list[list[object]] = []
        async with engine.begin() as connection:
            for statement in statements:
                result = await connection.execute(text(statement))
                found = [list(row) for row in result] if result.returns_rows else []
        await engine.dispose()
        return found

    return asyncio.run(run())


@pytest.fixture
def filled(database_url: str) -> str:
    """A database with three rows of ours."""
    execute(
        database_url,
        "CREATE TABLE notes (id integer PRIMARY KEY, content text)",
        "INSERT INTO notes VALUES (1, 'one'), (2, 'zwei, Übung'), (3, NULL)",
    )
    return database_url


def notes(url: str) -> list[list[object]]:
    """The rows."""
    return execute(url, "SELECT id, content FROM notes ORDER BY id")


@pytest.fixture
def ops(filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ops:
    """Runs a command: `ops("backup", KEEP_DAILY="3")`. Its folder is `backups` below the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, database: str = "", **settings: str) -> Said:
        given = {"DIRECTORY": str(tmp_path / "backups"), "KEY": KEY, **settings}
        with monkeypatch.context() as patch:
            patch.setenv("DATABASE__URL", database or filled)
            for name, value in given.items():
                patch.setenv(f"BACKUPS__{name}", value)
            capsys.readouterr()
            status = main(arguments)
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run


def kept(tmp_path: Path) -> list[Path]:
    """The folders of the backups, oldest first."""
    return sorted(path for path in (tmp_path / "backups").glob("2*"))


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A server that speaks the protocol of S3, with the buckets `one` and `two`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for bucket in ("one", "two"):
        urllib.request.urlopen(urllib.request.Request(f"{url}/{bucket}", method="PUT"), timeout=20).close()  # noqa: S310
    yield url
    server.stop()


@pytest.fixture
def store(s3: str, tmp_path: Path) -> dict[str, str]:
    """The settings that send copies to both buckets, under a name of the test's own."""
    both = {"BUCKET": "one", "ENDPOINT": s3, "ACCESS_KEY": "an-id", "SECRET_KEY": "not-ours"}
    return {**both, **{f"REPLICA_{name}": value for name, value in both.items()}} | {
        "REPLICA_BUCKET": "two",
        "PREFIX": f"{tmp_path.name}/",
        "TIMEOUT": "20",
    }
