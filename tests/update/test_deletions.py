"""Deleted files of an owner: they stay deleted, except the one that the service cannot start without."""

from pathlib import Path

import pytest

from tests.update.conftest import Made
from tests.update.next_release import LATER, NOW
from tests.update.owner_edits import DELETED, leaves
from tests.update.services import commit, conflicts, duplicate, update

pytestmark = pytest.mark.xdist_group("deletions")


@pytest.fixture(scope="module")
def updated(fresh: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service whose owner deleted all that may be deleted, on a newer version."""
    root = duplicate(fresh(NOW), tmp_path_factory.mktemp("deleted") / "service")
    leaves(root)
    commit(root)
    return update(root, LATER, sample=True)


@pytest.mark.parametrize("name", DELETED)
def test_what_was_deleted_stays_deleted(name: str, updated: Path, fresh: Made) -> None:
    assert (fresh(NOW) / name).exists() or name == "tests/features"
    assert not (updated / name).exists()


def test_a_deleted_list_of_features_comes_back(updated: Path) -> None:
    assert "def components(" in (updated / "app/features/__init__.py").read_text()


def test_deleting_is_no_conflict(updated: Path) -> None:
    assert conflicts(updated) == []


def test_a_service_without_the_sample_gets_none_of_it(service: Made) -> None:
    root = update(service(NOW, sample=False))
    assert not (root / "app/features/orders").exists()
    assert not (root / "migrations/versions/0001_orders.py").exists()


def test_a_file_of_the_templates_that_was_moved_away_stays_away_with_its_edits(service: Made) -> None:
    root = service()
    (root / "app/core/health.py").rename(root / "app/core/wellbeing.py")
    text = (root / "app/core/wellbeing.py").read_text()
    commit(root)
    update(root)
    assert not (root / "app/core/health.py").exists()
    assert (root / "app/core/wellbeing.py").read_text() == text
