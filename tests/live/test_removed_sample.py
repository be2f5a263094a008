"""The sample is removed at any time: before the first migration, after it, and with rows."""

import json
import subprocess

import pytest

from tests.live.conftest import Make, sql
from tests.live.environment import clean
from tests.live.service import Rendered
from tests.live.test_migrations import server_of
from tests.releases import git

ROW = (
    "INSERT INTO orders (id, reference, status, created_at, updated_at, version) "
    "VALUES (1, 'a', 'placed', '2026-01-01', '2026-01-01', 1)"
)
LISTS = [
    ("from app.features import orders\n", "[orders.component()]", "", "[]"),
    (
        "from app.features import notes, orders\n",
        "[notes.component(), orders.component()]",
        "notes",
        "[notes.component()]",
    ),
    (
        "from app.features import (\n    notes,\n    orders,\n)\n",
        "[orders.component(), *notes.all(1)]",
        "notes",
        "[*notes.all(1)]",
    ),
    ("from app.features import orders, zoo\n", "[zoo.SETTINGS, orders.SETTINGS]", "zoo", "[zoo.SETTINGS]"),
]


def committed(service: Rendered) -> Rendered:
    """A service under git, as `make setup` leaves it."""
    git(service.root, "init", "--quiet")
    git(service.root, "add", "--all")
    git(service.root, "commit", "--quiet", "--message", "Start")
    return service


def remove(service: Rendered, *options: str) -> "subprocess.CompletedProcess[str]":
    """`make remove-sample`, without uv."""
    return service.run("dev.remove_feature", "orders", *options)


def works(service: Rendered) -> None:
    """Models and revisions agree, nothing names the sample, and the service is clean."""
    for command in (["alembic", "check"], ["ruff", "check"], ["ruff", "format", "--check"]):
        done = service.run(*command)
        assert done.returncode == 0, done.stdout
    assert not [path for path in (service.root / "app").rglob("*.py") if "orders" in path.read_text()]
    assert "orders" not in (service.root / "README.md").read_text()
    assert not (service.root / "tests" / "features" / "test_orders.py").exists()


@pytest.mark.parametrize("base", ["sqlite"], indirect=True)
def test_before_the_first_migration_its_revision_goes_too(base: str, rendered: Make) -> None:
    service = committed(rendered(database=base, copy=True, migrated=False))
    (service.root / "app" / "features" / "orders" / "draft.py").touch()
    assert "draft.py is not committed: commit first" in remove(service).stdout
    (service.root / "app" / "features" / "orders" / "draft.py").unlink()
    user = service.root / "app" / "features" / "user.py"
    user.write_text("from app.features.orders.models import Order\n")
    assert "app/features/user.py imports app.features.orders: remove that first" in remove(service).stdout
    user.unlink()
    done = remove(service)
    assert done.stdout.endswith("removed orders: its revision is removed\n"), done.stdout
    assert [path.name for path in (service.root / "migrations" / "versions").glob("*") if path.is_file()] == [
        ".gitkeep"
    ]
    service.migrate()
    works(service)


@pytest.mark.parametrize("base", ["sqlite", pytest.param("postgres", marks=pytest.mark.full)], indirect=True)
def test_rows_are_deleted_only_if_that_is_meant(base: str, rendered: Make, request: pytest.FixtureRequest) -> None:
    service, server = committed(rendered(database=base, copy=True)), server_of(base, request)
    sql(service.database, ROW, server)
    refused = remove(service)
    assert refused.stdout.endswith("orders stays: its tables have rows: rows=delete deletes them\n"), refused.stdout
    assert git(service.root, "status", "--porcelain") == ""
    assert sql(service.database, "SELECT count(*) FROM orders", server) == "1"
    done = remove(service, "--rows", "delete")
    assert done.stdout.endswith("removed orders: a new revision drops its tables\n"), done.stdout
    works(service)
    assert sql(service.database, "SELECT count(*) FROM alembic_version WHERE version_num = '0001'", server) == "0"


def test_the_list_loses_one_feature(rendered: Make) -> None:
    service = rendered(database="sqlite", migrated=False)
    code = "import json, sys; from dev.remove_feature import without; "
    code += "print(json.dumps([without('orders', text) for text in json.load(sys.stdin)]))"
    done = subprocess.run(
        [service.python, "-c", code],
        cwd=service.root,
        input=json.dumps([f"{imports}\nALL = {entries}\n" for imports, entries, _, _ in LISTS]),
        capture_output=True,
        text=True,
        check=True,
        env=clean(),
    )
    for text, (_, _, kept, left) in zip(json.loads(done.stdout), LISTS, strict=True):
        assert "orders" not in text
        assert text.endswith(f"ALL = {left}\n")
        assert ("import" in text) is bool(kept)
        compile(text, "list", "exec")
