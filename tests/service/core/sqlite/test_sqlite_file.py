"""The file that is meant: the one that was opened, wherever the service was started from."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from fastapi import APIRouter
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import OperationalError, PendingRollbackError

from app.core import health
from app.core.data.connection import DatabaseFile
from app.core.data.engine import DatabaseSettings
from app.core.database import Database, DatabaseDep, emit_once_committed
from app.core.errors import ConfigurationInvalid
from app.core.settings import PROJECT, Settings
from app.core.telemetry import BusinessEvent
from tests.conftest import NewDatabase, Serve, Start
from tests.core import things
from tests.core.test_follow_ups import told
from tests.core.things import Thing

router = APIRouter(prefix="/things")


@router.post("/{name}")
async def add(name: str, database: DatabaseDep) -> str:
    """Adds one."""
    async with database.transaction() as session:
        session.add(Thing(name=name))
    return name


@pytest.fixture
def file(new_database: NewDatabase) -> Iterator[Path]:
    """A database of this test's own."""
    with new_database() as url:
        yield Path(str(make_url(url).database))


def change(file: Path, kind: str, aside: Path) -> None:
    """Do to the file what happens to files."""
    if kind == "removed":
        file.unlink()
    elif kind == "moved":
        file.rename(aside)
    elif kind == "without its log":
        Path(f"{file}-wal").unlink()
    else:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(aside)) as copy:
            source.backup(copy)
        aside.rename(file)


@pytest.mark.parametrize("kind", ["removed", "moved", "replaced", "without its log"])
async def test_a_file_that_is_no_longer_the_one_that_was_opened_takes_no_writes(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(health, "FRESH", 0.0)
    client = await start(extra=[things.component(router)], database={"url": f"sqlite+aiosqlite:///{file}"})
    assert (await client.post("/things/before")).status_code == 200
    assert (await client.get("/health/ready")).status_code == 200
    aside = file.with_name(f"{file.name}.aside")
    change(file, kind, aside)
    answers = [await client.post(f"/things/{number}") for number in range(3)]
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["code"] for answer in answers} == {"database_unreachable"}
    assert (await client.get("/health/ready")).status_code == 503
    assert os.path.exists(file) == (kind not in {"removed", "moved"})  # noqa: ASYNC240, PTH110  # none was made
    if kind == "moved":
        change(aside, kind, file)
        assert (await client.post("/things/after")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 200


async def test_a_file_that_is_replaced_while_a_write_commits_is_an_unknown_outcome(start: Start, file: Path) -> None:
    opened: list[Database] = []
    client = await start(
        extra=[things.component(router), things.keeping(opened)], database={"url": f"sqlite+aiosqlite:///{file}"}
    )
    engine = opened[0].engine.sync_engine
    event.listen(engine, "commit", lambda _: change(file, "removed", file), once=True)
    answer = await client.post("/things/lost")
    assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown")


async def test_a_new_connection_opens_no_other_file_and_makes_none(serve: Serve, file: Path) -> None:
    opened: list[Database] = []
    await serve(extra=[things.keeping(opened)], database={"url": f"sqlite+aiosqlite:///{file}"})
    change(file, "moved", file.with_name(f"{file.name}.aside"))
    await opened[0].engine.dispose()  # as if every connection had been recycled
    with pytest.raises(OperationalError, match="removed or replaced"):
        await opened[0].engine.connect()
    assert not os.path.exists(file)  # noqa: ASYNC240, PTH110


@pytest.mark.parametrize("kind", ["removed", "replaced"])
async def test_a_file_that_goes_in_the_moment_of_opening_is_noticed_as_well(
    serve: Serve, file: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    opened: list[Database] = []
    await serve(extra=[things.keeping(opened)], database={"url": f"sqlite+aiosqlite:///{file}"})
    monkeypatch.setattr(DatabaseFile, "gone", lambda _: None)  # as if it had looked just before
    change(file, kind, file.with_name(f"{file.name}.aside"))
    await opened[0].engine.dispose()
    with pytest.raises(OperationalError, match=r"removed or replaced|unable to open"):
        await opened[0].engine.connect()
    assert os.path.exists(file) == (kind == "replaced")  # noqa: ASYNC240, PTH110


async def test_a_database_that_was_replaced_by_an_older_one_is_not_ready(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "FRESH", 0.0)
    client = await start(database={"url": f"sqlite+aiosqlite:///{file}"})
    with closing(sqlite3.connect(file)) as other:
        (revision,) = other.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
        other.execute("UPDATE alembic_version SET version_num = 'newer'")
        other.commit()
        assert (await client.get("/health/ready")).status_code == 200  # as during a rollout
        other.execute("DELETE FROM alembic_version")
        other.commit()
    assert (await client.get("/health/ready")).status_code == (503 if revision else 200)


def test_a_relative_path_is_below_the_project(
    configured: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = configured(database={"url": "sqlite+aiosqlite:///./var/some.db"}).of(DatabaseSettings).url
    assert url == f"sqlite+aiosqlite:///{PROJECT / 'var/some.db'}"


def test_a_relative_path_that_could_be_two_files_is_refused(
    configured: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.db").touch()
    with pytest.raises(ConfigurationInvalid, match="write the whole path") as caught:
        configured(database={"url": "sqlite+aiosqlite:///other.db"})
    assert str(tmp_path / "other.db") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:/srv/demo.db?uri=true", "/srv/demo.db?uri=true", "file:demo.db"])
def test_a_file_that_is_named_by_a_uri_is_refused(configured: Callable[..., Settings], url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="write its path"):
        configured(database={"url": f"sqlite+aiosqlite:///{url}"})


async def test_a_file_that_is_not_there_stops_the_start_and_is_not_made(start: Start, tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    with pytest.raises(ConfigurationInvalid, match="does not exist: run `make migrate`"):
        await start(database={"url": f"sqlite+aiosqlite:///{missing}"})
    assert not missing.exists()


@pytest.mark.parametrize("reads", [True, False])
async def test_pragmas_that_a_route_leaves_do_not_reach_the_next_one(serve: Serve, reads: bool) -> None:
    opened: list[Database] = []
    await serve(extra=[things.keeping(opened)], database={"pool_size": 1})
    (database,) = opened
    for pragma in ("foreign_keys = OFF", "foreign_keys(0)", "query_only = 1", "busy_timeout=0"):
        if reads:
            async with database.read() as connection:
                await connection.execute(text(f"PRAGMA {pragma}"))
        else:
            async with database.transaction() as session:
                await session.execute(text(f"pragma {pragma}"))
        async with database.transaction() as session:
            found = [await session.scalar(text(f"PRAGMA {name}")) for name in ("foreign_keys", "query_only")]
            assert (*found, await session.scalar(text("PRAGMA busy_timeout"))) == (1, 0, 5000)


async def conflict(database: Database) -> None:
    """Swallow the error of a statement that ends the whole transaction, and go on."""
    async with database.transaction() as session:
        session.add(Thing(name="second"))
        await session.flush()
        emit_once_committed(session, BusinessEvent("added"))
        with suppress(Exception):
            await session.execute(
                text("INSERT OR ROLLBACK INTO test_things (name, amount, version) VALUES ('first', 1, 1)")
            )
        session.add(Thing(name="third"))


async def test_a_statement_that_ends_the_transaction_stores_nothing(serve: Serve) -> None:
    opened: list[Database] = []
    await serve(extra=[things.component(), things.keeping(opened)])
    with told() as names, pytest.raises(PendingRollbackError):
        await conflict(opened[0])
    assert names == []
    async with opened[0].read() as connection:
        found = (await connection.execute(text("SELECT name FROM test_things"))).scalars().all()
    assert found == ["first"]
