"""Keys in the database: leases, crashes, what is over, and a table that migrations do not know."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core.component import Component, State
from app.core.database import Database
from app.core.errors import ConfigurationInvalid
from app.core.models import Base
from app.core.settings import Settings
from app.extensions.idempotency.store import KEYS, Answer, Claim, KeyStore
from tests.answers import content
from tests.conftest import Start, alembic

pytestmark = pytest.mark.anyio
DEEDS = "/api/v1/deeds"
KEY = {"Idempotency-Key": "key-1"}
HEADERS = ((b"content-type", b"text/plain"), (b"x-odd", "é".encode("latin-1")))


@pytest.fixture
async def database(start: Start) -> Database:
    """The database of a service."""
    opened: list[Database] = []

    @asynccontextmanager
    async def watch(state: State) -> AsyncIterator[State]:
        opened.append(state["database"])
        yield {}

    await start(extra=[Component(name="watch", lifespan=watch)])
    return opened[0]


@pytest.fixture
def store(database: Database) -> KeyStore:
    """The keys."""
    return KeyStore(database)


def claim(token: str) -> Claim:
    """A claim to the one key of these tests."""
    return Claim("a" * 64, token)


async def test_one_of_many_gets_a_key(store: KeyStore) -> None:
    records = await asyncio.gather(*(store.claim(claim(str(n)), "f", lease=60, keep=60) for n in range(20)))
    assert records.count(None) == 1


async def test_an_answer_is_kept_as_it_was(store: KeyStore) -> None:
    assert await store.claim(claim("1"), "f", lease=60, keep=60) is None
    await store.keep(claim("1"), Answer(418, HEADERS, b"\x00\xff"))
    record = await store.claim(claim("2"), "g", lease=60, keep=60)
    assert record is not None
    assert record.fingerprint == "f"
    assert record.answer == Answer(418, list(HEADERS), b"\x00\xff")


async def test_a_key_whose_holder_crashed_is_free_after_its_lease_for_the_same_request(store: KeyStore) -> None:
    assert await store.claim(claim("1"), "f", lease=0.2, keep=60) is None
    assert await store.claim(claim("2"), "f", lease=60, keep=60) is not None
    await asyncio.sleep(0.25)
    assert await store.claim(claim("2"), "other", lease=60, keep=60) is not None
    assert await store.claim(claim("2"), "f", lease=60, keep=60) is None
    # Whoever had it before can neither keep an answer nor give the key back.
    await store.keep(claim("1"), Answer(200, (), b"late"))
    await store.release(claim("1"))
    record = await store.claim(claim("3"), "f", lease=60, keep=60)
    assert record is not None
    assert record.running


async def test_a_key_that_cannot_be_taken_is_seen_as_it_is(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await store.claim(claim("1"), "f", lease=60, keep=60) is None
    monkeypatch.setattr("app.extensions.idempotency.store.CLAIM", text("UPDATE nothing SET x = 1"))
    record = await store.claim(claim("2"), "f", lease=60, keep=60)
    assert record is not None
    assert (record.fingerprint, record.running, record.answer.status) == ("f", True, None)
    with pytest.raises(DBAPIError):
        await store.claim(Claim("b" * 64, "2"), "f", lease=60, keep=60)


async def test_what_was_carried_out_is_not_free_after_its_lease(store: KeyStore, database: Database) -> None:
    assert await store.claim(claim("1"), "f", lease=0.2, keep=60) is None
    async with database.transaction() as session:
        assert await store.mark(claim("1"), session)
    for running in (True, False):
        record = await store.claim(claim("2"), "f", lease=60, keep=60)
        assert record is not None
        assert record.running is running
        assert record.answer.status is None
        await asyncio.sleep(0.25)


async def test_a_key_is_free_when_its_time_is_over(store: KeyStore, database: Database) -> None:
    await store.claim(claim("1"), "f", lease=60, keep=0.2)
    await store.keep(claim("1"), Answer(200, (), b""))
    await store.remove_old()
    assert await rows(database) == 1
    await asyncio.sleep(0.25)
    assert await store.claim(claim("2"), "g", lease=60, keep=0.01) is None
    await asyncio.sleep(0.05)
    await store.remove_old()
    assert await rows(database) == 0


async def test_the_service_removes_what_is_over_by_itself(start: Start, deeds: Component) -> None:
    opened: list[Database] = []

    @asynccontextmanager
    async def watch(state: State) -> AsyncIterator[State]:
        opened.append(state["database"])
        yield {}

    client = await start(
        extra=[deeds, Component(name="watch", lifespan=watch)], idempotency={"keep": 0.1, "cleanup_interval": 0.2}
    )
    await client.post(DEEDS, json={"name": "paint"}, headers=KEY)
    async with asyncio.timeout(10):
        while await rows(opened[0]):  # noqa: ASYNC110  # no event to wait for
            await asyncio.sleep(0.05)


async def test_whoever_took_too_long_does_nothing_any_more(start: Start, deeds: Component) -> None:
    client = await start(extra=[deeds], idempotency={"lease": 0.2})

    async def post(seconds: float) -> httpx2.Response:
        return await client.post(f"{DEEDS}/slow-start", json={"name": "paint", "seconds": seconds}, headers=KEY)

    first = asyncio.create_task(post(0.8))
    await asyncio.sleep(0.5)
    second = await post(0.8)
    assert (await first).status_code == 409
    assert (await first).json()["code"] == "request_in_progress"
    assert content(second) == 1  # the first one's transaction was rolled back
    assert content(await post(0.8)) == 1


async def test_an_answer_that_cannot_be_kept_is_given_all_the_same(
    start: Start, deeds: Component, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start(extra=[deeds], idempotency={"lease": 0.5})
    monkeypatch.setattr("app.extensions.idempotency.store.KEEP", text("UPDATE nothing SET x = 1"))
    answer = await client.post(DEEDS, json={"name": "paint"}, headers=KEY)
    assert answer.status_code == 201
    assert "could not be stored" in caplog.text
    again = await client.post(DEEDS, json={"name": "paint"}, headers=KEY)
    assert again.json()["code"] == "request_in_progress"  # unknown until the lease ends
    await asyncio.sleep(0.6)
    again = await client.post(DEEDS, json={"name": "paint"}, headers=KEY)
    assert again.json()["code"] == "answer_not_kept"  # and it is not done again


async def test_the_table_is_made_once_and_outside_of_migrations(
    start: Start, database: Database, database_url: str
) -> None:
    assert KEYS.name not in Base.metadata.tables
    await start()  # a second process finds it
    async with database.engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {KEYS.name}"))
    stores = [KeyStore(database) for _ in range(3)]
    for store in stores:
        await store.prepare()
    checked = await asyncio.to_thread(alembic, database_url, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_a_request_without_a_key_costs_nothing(start: Start, deeds: Component, statements: list[str]) -> None:
    client = await start(extra=[deeds])
    for headers, expected in (({}, []), (KEY, ["INSERT", "UPDATE", "UPDATE"])):  # claim, mark, keep
        statements.clear()
        await client.post(DEEDS, json={"name": "paint"}, headers=headers)
        assert [statement.split()[0] for statement in statements if KEYS.name in statement] == expected


async def rows(database: Database) -> int:
    """Return the number of stored keys."""
    async with database.read() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {KEYS.name}"))).scalar_one())  # noqa: S608


@pytest.mark.parametrize("given", [{"paths": "api"}, {"headers": "X-Tenant, X A"}])
def test_an_entry_that_matches_nothing_is_refused(given: dict[str, str], configured: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"is no (path|name of a header)"):
        configured(idempotency=given)
