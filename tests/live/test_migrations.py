"""Ten replicas may migrate at once, and a service starts only on the revision that it was written for."""

import json
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.live import postgres
from tests.live.conftest import Make, Run, sql
from tests.live.service import ORDERS, order


def server_of(base: str, request: pytest.FixtureRequest) -> postgres.Server | None:
    """The server behind a kind of database."""
    found: postgres.Server | None = request.getfixturevalue("postgres_server") if base == "postgres" else None
    return found


def test_ten_at_once_migrate_once(base: str, rendered: Make, run: Run, request: pytest.FixtureRequest) -> None:
    service = rendered(database=base, migrated=False)
    command = [str(service.python), "-m", "alembic", "upgrade", "head"]
    started = [
        subprocess.Popen(
            command,
            cwd=service.root,
            env=service.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(10)
    ]
    said = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 10, said
    assert sum("Running upgrade  -> 0001" in text for text in said) == 1
    assert sql(service.database, "SELECT count(*) FROM alembic_version", server_of(base, request)) == "1"
    assert run(service).http.post(ORDERS, json=order("one")).status_code == 201


def test_up_down_up(base: str, rendered: Make, run: Run) -> None:
    service = rendered(database=base)
    for arguments in (["downgrade", "base"], ["upgrade", "head"], ["check"]):
        done = service.run("alembic", *arguments)
        assert done.returncode == 0, done.stdout
    assert run(service).http.get(ORDERS).status_code == 200


def test_a_table_that_no_revision_makes_is_found(base: str, rendered: Make) -> None:
    service = rendered(database=base, copy=True)
    models = service.root / "app" / "features" / "orders" / "models.py"
    models.write_text(
        models.read_text().replace("quantity: Mapped[int]", "quantity: Mapped[int]\n    weight: Mapped[int]")
    )
    done = service.run("alembic", "check")
    assert done.returncode != 0
    assert "weight" in done.stdout


@pytest.mark.parametrize("workers", ["1", "2"], ids=["alone", "workers"])
@pytest.mark.parametrize("revision", ["9999", None], ids=["ahead", "unknown"])
def test_another_revision_stops_the_start(
    revision: str | None, workers: str, base: str, rendered: Make, request: pytest.FixtureRequest
) -> None:
    service = rendered(database=base)
    change = f"UPDATE alembic_version SET version_num = '{revision}'" if revision else "DELETE FROM alembic_version"
    sql(service.database, change, server_of(base, request))
    started = time.monotonic()
    done = service.run("app", settings={"SERVER__WORKERS": workers})
    assert time.monotonic() - started < 25, "a worker that has ended is not waited for"
    assert done.returncode == 3
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    errors = {line["event"] for line in lines if line["level"] == "error"}
    (said,) = [line for line in errors if not line.startswith("Child process")]  # which the first process adds
    assert said.startswith(
        f"the database is at revision {revision or 'none'} and this version of the service needs 0001"
    )


def test_without_a_slice_there_is_nothing_to_migrate(base: str, rendered: Make, run: Run) -> None:
    service = rendered(database=base, sample=False)
    assert run(service).http.get("/health/ready").status_code == 200


def test_a_second_migration_waits_for_the_first(
    base: str, rendered: Make, new_database: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    service = rendered(database=base, copy=True, migrated=False, url=new_database(base))
    slow = service.root / "migrations" / "versions" / "0002_slow.py"
    statement = "SELECT pg_sleep(4)" if base == "postgres" else "SELECT 1"
    slow.write_text(
        'import time\n\nfrom alembic import op\n\nrevision = "0002"\ndown_revision = "0001"\n\n\n'
        f'def upgrade() -> None:\n    op.execute("{statement}")\n    time.sleep(1)\n'
    )
    first = subprocess.Popen(
        [service.python, "-m", "alembic", "upgrade", "head"], cwd=service.root, env=service.environment()
    )
    second = service.run("alembic", "upgrade", "head", timeout=120)
    assert first.wait(timeout=60) == 0
    assert second.returncode == 0, second.stdout
    assert sql(service.database, "SELECT version_num FROM alembic_version", server_of(base, request)) == "0002"
