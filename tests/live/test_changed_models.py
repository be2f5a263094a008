"""Models that come and go: removed ones, enums, schemas, several heads, and commands that have nothing to do."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import Make, sql
from tests.live.service import Rendered
from tests.live.test_migration_rows import MIGRATOR
from tests.live.test_migrations import server_of

ENUMS = """
class Thing(Base):
    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Enum("a", {labels}, name="kind"))

class Other(Base):
    __tablename__ = "others"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Enum("a", {labels}, name="kind"))
    thing_id: Mapped[int] = mapped_column(ForeignKey("things.id"))
"""
SCHEMA = """
class Invoice(Base):
    __tablename__ = "invoices"
    __table_args__ = {"schema": "billing"}
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Enum("paid", "open", name="state"))
"""
MODELS = {
    "none": "",
    "enums": ENUMS.format(labels='"b: it\'s"'),
    "label": ENUMS.format(labels='"c", "b: it\'s"'),
    "schema": SCHEMA,
}
UP, CHECK = ["upgrade", "head"], ["check"]
Step = tuple[str, list[str]]


def written(number: str, *more: str) -> list[str]:
    """A new revision."""
    return ["revision", "--message", "change", "--rev-id", number, *more]


@pytest.fixture
def steps(
    base: str, rendered: Make, new_database: Callable[[str], str], tmp_path: Path
) -> Callable[[list[Step]], dict[str, Any]]:
    """Runs commands in one process, each with its models."""

    def run(commands: list[Step]) -> dict[str, Any]:
        service = rendered(database=base, sample=False, migrated=False)
        given = {"name": "case", "url": new_database(base), **MODELS, "steps": [[one, *rest] for one, rest in commands]}
        done = subprocess.run(
            [service.python, "-W", "ignore", MIGRATOR, tmp_path],
            cwd=service.root,
            env=service.environment({"PYTHONPATH": str(service.root)}),
            input=json.dumps([given]),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["case"]
        return found

    return run


def last(said: str) -> str:
    """The event of the last line."""
    return str(json.loads(said.splitlines()[-1])["event"])


def test_enums_go_up_down_and_up_and_removed_models_are_seen(
    base: str, steps: Callable[[list[Step]], dict[str, Any]]
) -> None:
    auto = "--autogenerate"
    found = steps(
        [
            *[("enums", one) for one in (written("0001", auto), UP, CHECK, ["downgrade", "base"], UP)],
            *[("label", one) for one in (CHECK, written("0002", auto), UP, CHECK, ["downgrade", "-1"], UP)],
            *[("none", one) for one in (CHECK, written("0003", auto), UP, CHECK, ["downgrade", "-1"], UP)],
            ("none", written("0004", auto)),
        ]
    )
    done = found["done"]
    failed = [number for number, (status, _) in enumerate(done) if status]
    label = [5] if base == "postgres" else []  # elsewhere a label is a text as any other
    assert failed == [*label, 11], [done[number][1] for number in failed]
    assert "remove_table" in done[11][1]
    names = [f"{number}_change.py" for number in ("0001", *(["0002"] if label else []), "0003")]
    assert sorted(found["files"]) == names
    assert last(done[-1][1]).startswith("no revision was written: the database has all that the models have.")
    assert "This revision drops the table others" in found["files"]["0003_change.py"]
    if label:
        assert "ADD VALUE IF NOT EXISTS 'c' AFTER 'a'" in found["files"]["0002_change.py"]


@pytest.mark.parametrize("base", ["sqlite"], indirect=True)
def test_two_heads_are_named_with_the_command_that_joins_them(steps: Callable[[list[Step]], dict[str, Any]]) -> None:
    commands = [
        written("0001"),
        UP,
        written("0002"),
        written("0003", "--head", "0001", "--splice"),
        UP,
        written("0004", "--autogenerate"),
        CHECK,
        ["merge", "heads", "--message", "merge", "--rev-id", "0005"],
        CHECK,
        UP,
        CHECK,
    ]
    found = steps([("none", one) for one in commands])
    statuses = [status for status, _ in found["done"]]
    assert statuses == [0, 0, 0, 0, 2, 2, 2, 0, 2, 0, 0], found["done"]
    for number in (4, 5, 6):
        assert last(found["done"][number][1]) == (
            "the revisions 0002 and 0003 are both the newest: `make merge-migrations` joins them"
        )
    assert last(found["done"][8][1]) == "the database lacks a revision: run `make migrate` first"
    assert "import" not in found["files"]["0005_merge.py"]
    assert "pass" not in found["files"]["0005_merge.py"]


def test_a_model_may_be_in_a_schema_where_the_database_has_them(
    base: str, steps: Callable[[list[Step]], dict[str, Any]]
) -> None:
    found = steps(
        [("schema", one) for one in (written("0001", "--autogenerate"), UP, CHECK, ["downgrade", "base"], UP)]
    )
    if base == "postgres":
        assert [status for status, _ in found["done"]] == [0] * 5, found["done"]
        return
    assert {status for status, _ in found["done"]} == {2}
    said = "the table billing.invoices: this database has no schemas, remove it from the model"
    assert {last(text) for _, text in found["done"]} == {said}


def test_a_database_is_reset_in_development_alone(base: str, rendered: Make, request: pytest.FixtureRequest) -> None:
    service, server = rendered(database=base), server_of(base, request)
    reset = ("alembic", "-x", "reset=yes", "upgrade", "head")
    sql(service.database, "CREATE TABLE left_over (id integer)", server)
    refused = service.run(*reset)
    assert last(refused.stdout) == "a database in production is not reset: only one of this machine, in development"
    if base == "postgres":
        far = service.run(*reset, settings={"DATABASE__URL": "postgresql://u:p@db.example.com/x", **DEVELOPMENT})
        assert "a database on db.example.com is not reset" in far.stdout
    assert has_left_over(service, server)
    done = service.run(*reset, settings=DEVELOPMENT)
    assert done.returncode == 0, done.stdout
    assert not has_left_over(service, server)
    assert sql(service.database, "SELECT version_num FROM alembic_version", server) == "0001"


DEVELOPMENT = {"SERVICE__ENVIRONMENT": "development"}


def has_left_over(service: Rendered, server: Any) -> bool:
    """Return whether a table that no revision makes is there."""
    catalog = "sqlite_master WHERE name" if server is None else "pg_tables WHERE tablename"
    return sql(service.database, f"SELECT count(*) FROM {catalog} = 'left_over'", server) == "1"
