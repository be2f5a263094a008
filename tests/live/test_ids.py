"""No id is given to a second row: a change that a caller repeats late meets nothing, and no stranger."""

from collections.abc import Callable

from tests.live.conftest import Make, Run
from tests.live.service import ORDERS, Service, order
from tests.live.test_migration_rows import Upgrade

COPIES = """from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for table in ("orders", "order_lines"):
        with op.batch_alter_table(table, recreate="always"):
            pass


def downgrade() -> None:
    pass
"""
WITHOUT = (
    "PRAGMA writable_schema=ON",
    "UPDATE sqlite_master SET sql = replace(sql, ' AUTOINCREMENT', '')",
    "DELETE FROM sqlite_sequence",
)
"""Makes a database as the releases before made it."""
REUSING = (
    "SQLite gives the id of a deleted row to another one in order_lines, orders: have a revision copy each table once"
)
FIRST = {"If-Match": '"1"'}


def placed(service: Service, reference: str) -> str:
    """Place an order, and return its path."""
    answer = service.http.post(ORDERS, json=order(reference))
    assert answer.status_code == 201
    return answer.headers["Location"]


def gone(service: Service, path: str) -> None:
    """Delete an order."""
    assert service.http.delete(path, headers=FIRST).status_code == 204


def test_a_change_that_is_repeated_after_a_deletion_meets_no_other_row(base: str, rendered: Make, run: Run) -> None:
    service = run(rendered(database=base))
    alice = placed(service, "alice")
    gone(service, alice)
    bob = placed(service, "bob")
    assert service.http.delete(alice, headers=FIRST).status_code == 404
    assert service.http.put(alice, json=order("stale"), headers=FIRST).status_code == 404
    assert service.http.get(bob).json()["reference"] == "bob"


def test_a_copy_of_a_table_uses_no_id_again(rendered: Make, new_database: Callable[[str], str], run: Run) -> None:
    upgrade = Upgrade("sqlite", rendered, new_database("sqlite"), None)
    service = run(upgrade.now)
    kept, alice = placed(service, "kept"), placed(service, "alice")
    gone(service, alice)
    service.stop()
    assert upgrade.migrate().wait(timeout=60) == 0
    service = run(upgrade.next)
    assert placed(service, "bob") not in {kept, alice}
    assert service.http.get(alice).status_code == 404
    assert upgrade.sql("SELECT name FROM sqlite_sequence WHERE name LIKE '_alembic%'") == ""


def test_a_table_of_an_earlier_release_is_named_until_a_revision_copies_it(
    rendered: Make, new_database: Callable[[str], str], run: Run
) -> None:
    upgrade = Upgrade("sqlite", rendered, new_database("sqlite"), None)
    service = run(upgrade.now)
    placed(service, "first")
    kept = placed(service, "kept")
    service.stop()
    upgrade.edit(WITHOUT)

    service = run(upgrade.now)
    (warning,) = service.logged(level="warning", logger="app.core.data.engine")
    assert warning["event"].startswith(REUSING)
    service.stop()

    (revision,) = (upgrade.next.root / "migrations" / "versions").glob("0002*.py")
    revision.write_text(COPIES)
    assert upgrade.migrate().wait(timeout=60) == 0
    assert upgrade.stored() == (2, 2)

    service = run(upgrade.next)
    assert not service.troubles()
    gone(service, kept)
    assert placed(service, "bob") != kept
