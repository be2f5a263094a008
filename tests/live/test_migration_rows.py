"""No migration loses or alters a row in silence: revisions by autogenerate on tables that have rows, up and down."""

import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live import loss_cases, migration_cases, postgres
from tests.live.conftest import Make, Run, sql
from tests.live.migration_cases import Case
from tests.live.service import BOUND, ORDERS, order
from tests.live.test_migrations import server_of

pytestmark = pytest.mark.xdist_group("migration rows")  # all cases of a database run once, for all tests
CASES = migration_cases.CASES | loss_cases.CASES
MIGRATOR = Path(__file__).parent / "slices" / "migrator.py"
Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def found(
    base: str, rendered: Make, new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The result of every case, all of them run by one process."""
    service = rendered(database=base, sample=False, migrated=False)
    given = [case.given(name, new_database(base)) for name, case in CASES.items()]
    done = subprocess.run(
        [service.python, "-W", "ignore", MIGRATOR, tmp_path_factory.mktemp("cases")],
        cwd=service.root,
        env=service.environment({"PYTHONPATH": str(service.root)}),
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout)
    return results


def kept(case: Case, before: Tables, after: Tables) -> bool:
    """Return whether each row has its values still, whatever columns came or went."""
    old = {case.names.get(name, name): rows for name, rows in after.items() if name != "alembic_version"}
    return old.keys() == before.keys() - {"alembic_version"} and all(
        len(rows) == len(before[name])
        and all(
            value in {was[case.names.get(column, column)], case.values.get(was[case.names.get(column, column)])}
            for was, row in zip(before[name], rows, strict=True)
            for column, value in row.items()
            if case.names.get(column, column) in was
        )
        for name, rows in old.items()
    )


@pytest.mark.parametrize("name", CASES)
def test_every_row_is_there_after_a_revision_and_back(name: str, base: str, found: dict[str, Any]) -> None:
    case, became = CASES[name], found[name]
    assert sum(map(len, became["before"].values())) > 2 or not case.rows
    if refused := case.refused.get(base):
        assert became["status"] == 2, became["said"]
        (line,) = [line for line in became["said"].splitlines() if '"level":"error"' in line]
        assert refused in json.loads(line)["event"]
        assert "Traceback" not in became["said"]
        if "an autocommit block" in refused:  # which commits what was before it
            assert kept(case, became["before"], became["after"])
        else:
            assert became["after"] == became["before"]
    else:
        assert became["status"] == 0, became["said"]
        if not case.next:
            assert kept(case, became["before"], became["after"])
            assert case.marked or kept(case, became["before"], became["back"])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.named])
def test_what_a_new_revision_loses_is_named_and_is_in_its_file(name: str, found: dict[str, Any]) -> None:
    case, became = CASES[name], found[name]
    (line,) = [line for line in became["wrote"].splitlines() if '"level":"warning"' in line]
    assert json.loads(line)["event"].startswith(f"the new revision {case.named}")
    comment = " ".join(line.lstrip("# ") for line in became["revision"].splitlines() if line.startswith("#"))
    assert comment.startswith(f"This revision {case.named}")
    assert comment.endswith("until you set here: loses_data = True")


def test_a_revision_that_loses_nothing_is_written_without_a_word(found: dict[str, Any]) -> None:
    for name in ("cascade", "column-added", "check-added"):
        assert "loses_data" not in found[name]["revision"]
        assert '"level":"warning"' not in found[name]["wrote"]


def test_a_loss_that_is_meant_is_named_and_done(found: dict[str, Any]) -> None:
    (name,) = [name for name, case in CASES.items() if case.lost]
    (line,) = [line for line in found[name]["said"].splitlines() if '"level":"warning"' in line]
    assert json.loads(line)["event"] == CASES[name].lost
    assert all("note" not in row for row in found[name]["after"]["parents"])


def test_a_downgrade_names_what_it_loses(found: dict[str, Any]) -> None:
    (line,) = [line for line in found["column-added"]["undid"].splitlines() if '"level":"warning"' in line]
    assert json.loads(line)["event"] == "the revision drops the column parents.more, which has values"


class Upgrade:
    """The sample on a database of its own, and a second checkout of it with a revision that changes `orders`."""

    def __init__(self, base: str, rendered: Make, url: str, server: postgres.Server | None) -> None:
        self.now = rendered(database=base, url=url)
        self.next = rendered(database=base, url=url, copy=True, migrated=False)
        self.server = server
        models = self.next.root / "app" / "features" / "orders" / "models.py"
        models.write_text(models.read_text().replace("String(200), unique", "String(210), unique"))
        done = self.next.run("alembic", "revision", "--autogenerate", "--message", "longer", "--rev-id", "0002")
        assert done.returncode == 0, done.stdout

    def slow_down(self, seconds: float) -> Path:
        """Have the revision wait at its end. Returns a file that is there from then on."""
        (revision,) = (self.next.root / "migrations" / "versions").glob("0002*.py")
        reached = self.next.root / "reached"
        wait = f"    import pathlib, time\n    pathlib.Path({str(reached)!r}).touch()\n    time.sleep({seconds})\n"
        revision.write_text(revision.read_text().replace("\n\n\ndef downgrade", f"\n{wait}\n\ndef downgrade"))
        return reached

    def migrate(self) -> subprocess.Popen[str]:
        """`alembic upgrade head`, in the background."""
        return subprocess.Popen(
            [self.next.python, "-m", "alembic", "upgrade", "head"],
            cwd=self.next.root,
            env=self.next.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def sql(self, statement: str) -> str:
        """The first value that a statement gives."""
        return sql(self.now.database, statement, self.server)

    def edit(self, statements: Iterable[str]) -> None:
        """Run statements on one connection to SQLite."""
        with closing(sqlite3.connect(self.now.database.partition("///")[2], isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def stored(self) -> tuple[int, int]:
        """Return the numbers of orders and lines."""
        return int(self.sql("SELECT count(*) FROM orders")), int(self.sql("SELECT count(*) FROM order_lines"))


@pytest.fixture
def upgrade(base: str, rendered: Make, new_database: Callable[[str], str], request: pytest.FixtureRequest) -> Upgrade:
    """One to try."""
    return Upgrade(base, rendered, new_database(base), server_of(base, request))


def wait_for(file: Path) -> None:
    """Until it is there."""
    deadline = time.monotonic() + BOUND
    while not file.exists():
        assert time.monotonic() < deadline, f"{file.name} is not there after {BOUND} seconds"
        time.sleep(0.02)


def test_a_migration_that_is_killed_changes_nothing(upgrade: Upgrade, run: Run) -> None:
    http = run(upgrade.now).http
    assert [http.post(ORDERS, json=order(name)).status_code for name in ("one", "two")] == [201, 201]
    reached = upgrade.slow_down(600)
    migration = upgrade.migrate()
    wait_for(reached)
    migration.kill()
    migration.wait(timeout=BOUND)
    assert upgrade.sql("SELECT version_num FROM alembic_version") == "0001"
    assert upgrade.stored() == (2, 2)
    assert http.post(ORDERS, json=order("three")).status_code == 201


def test_ten_replicas_migrate_while_the_service_takes_orders(base: str, upgrade: Upgrade, run: Run) -> None:
    service = run(upgrade.now)
    acknowledged: list[str] = []
    done = threading.Event()

    def take_orders() -> None:
        with httpx2.Client(base_url=service.url, timeout=BOUND) as http:
            while not done.is_set():
                reference = f"order-{len(acknowledged)}"
                if http.post(ORDERS, json=order(reference)).status_code == 201:
                    acknowledged.append(reference)
                time.sleep(0.01)

    reached = upgrade.slow_down(0.5)
    client = threading.Thread(target=take_orders)
    client.start()
    try:
        replicas = [upgrade.migrate() for _ in range(10)]
        wait_for(reached)
        said = [replica.communicate(timeout=120)[0] for replica in replicas]
        after = len(acknowledged)
        deadline = time.monotonic() + BOUND
        while len(acknowledged) == after and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        done.set()
        client.join()
    assert [replica.returncode for replica in replicas] == [0] * 10, said
    assert sum("Running upgrade 0001 -> 0002" in text for text in said) == 1
    assert len(acknowledged) > after > 0
    assert upgrade.stored() == (len(acknowledged), len(acknowledged))
    if base == "sqlite":  # off on the connections of migrations alone
        facts = service.http.get("/health").json()["parts"]["database"]["facts"]
        assert facts["pragmas"]["foreign_keys"] == 1


def test_a_copy_on_sqlite_names_what_it_leaves_out(rendered: Make, new_database: Callable[[str], str]) -> None:
    upgrade = Upgrade("sqlite", rendered, new_database("sqlite"), None)
    upgrade.sql("CREATE TRIGGER touched AFTER INSERT ON orders BEGIN SELECT 1; END")
    upgrade.sql("CREATE INDEX by_name ON orders (lower(reference))")
    upgrade.sql("CREATE INDEX newest ON orders (created_at DESC)")
    said = upgrade.migrate().communicate(timeout=60)[0]
    (line,) = [json.loads(line) for line in said.splitlines() if '"logger":"migrations.backend"' in line]
    assert line["level"] == "warning"
    left_out = "index by_name, DESC in index newest, trigger touched"
    assert line["event"] == f"the copy of orders has no {left_out}: create it again if you need it"
    assert upgrade.sql("SELECT count(*) FROM sqlite_master WHERE name IN ('touched', 'by_name')") == "0"


def test_a_copy_on_sqlite_keeps_the_action_of_a_reference_beside_its_column(
    rendered: Make, new_database: Callable[[str], str]
) -> None:
    upgrade = Upgrade("sqlite", rendered, new_database("sqlite"), None)
    action = "ON DELETE CASCADE ON UPDATE SET NULL"
    upgrade.sql(f"ALTER TABLE orders ADD COLUMN parent_id INTEGER REFERENCES orders (id) {action}")
    assert upgrade.migrate().wait(timeout=60) == 0
    actions = "SELECT on_delete || ' ' || on_update FROM pragma_foreign_key_list('orders') WHERE \"from\" = "
    assert upgrade.sql(f"{actions} 'parent_id'") == "CASCADE SET NULL"
    assert upgrade.sql(f"{actions} 'replaces_id'") == "SET NULL NO ACTION"


def test_a_command_that_changes_no_row_asks_nothing_of_the_rows(
    rendered: Make, new_database: Callable[[str], str]
) -> None:
    service = rendered(database="sqlite", url=new_database("sqlite"))
    sql(service.database, "INSERT INTO order_lines VALUES (1, 99, 'an orphan', 1, 1)")
    for command in (["stamp", "head"], ["stamp", "base"], ["stamp", "head"], ["current"], ["check"]):
        done = service.run("alembic", *command)
        assert done.returncode == 0, done.stdout


def test_revisions_can_be_written_as_sql_without_settings_or_a_database(base: str, rendered: Make) -> None:
    service = rendered(database=base, migrated=False, url="")
    done = service.run("alembic", "upgrade", "head", "--sql", settings={"HTTP__BODY_LIMIT": "wrong"})
    assert done.returncode == 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines[0] in {"BEGIN;", "CREATE TABLE alembic_version ("}
    assert "CREATE TABLE orders (" in lines
    assert "foreign_key_check" not in done.stdout
    assert not [line for line in lines if "alembic.runtime" in line or line.startswith("{")]
