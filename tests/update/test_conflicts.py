"""Changes of the same place by the owner and the template: markers that git knows of, and never a lost line."""

from pathlib import Path

import pytest

from tests.releases import git
from tests.update.conftest import Made
from tests.update.next_release import FIRST, LATER, change
from tests.update.services import commit, conflicts, copier, update

MINE = "# My own words."


@pytest.fixture
def clashing(service: Made) -> Path:
    """A service with an edit where LATER has one too, and one where it has none."""
    root = service()
    change(root / "Makefile", r"\A[^\n]*", MINE)
    change(root / "Makefile", r"pytest --cov$", "pytest --cov --exitfirst")
    commit(root)
    return root


def test_both_sides_stand_between_markers(clashing: Path) -> None:
    update(clashing)
    text = (clashing / "Makefile").read_text()
    assert text.startswith(f"<<<<<<< before updating\n{MINE}\n=======\n{FIRST}\n>>>>>>> after updating\n")
    assert text.count("pytest --cov --exitfirst") == 1, "the rest of the file merges"
    assert "later: ## New" in text


def test_git_knows_the_conflict_with_its_base(clashing: Path) -> None:
    before = (clashing / "Makefile").read_text()
    update(clashing)
    assert conflicts(clashing) == ["Makefile"]
    assert git(clashing, "show", ":2:Makefile") == before
    assert git(clashing, "show", ":3:Makefile").startswith(FIRST)
    assert not list(clashing.rglob("*.rej"))


def test_the_command_ends_with_status_0_all_the_same(clashing: Path) -> None:
    # So `make check` looks for markers, and `groundwork update` has a status of its own.
    done = copier(clashing, "update", "--defaults", "--quiet", f"--vcs-ref={LATER}")
    assert done.returncode == 0, done.stderr
    assert conflicts(clashing) == ["Makefile"]


def test_a_service_with_markers_cannot_be_committed_through_its_hooks_nor_pass_its_check(clashing: Path) -> None:
    update(clashing)
    makefile = git(clashing, "show", "HEAD:Makefile")
    assert "conflict markers: settle them in" in makefile
    pattern = r"^(<{7}|>{7})( |$)"
    assert git(clashing, "grep", "--no-index", "--exclude-standard", "-lIE", pattern).split() == ["Makefile"]


def test_git_takes_the_update_back(clashing: Path) -> None:
    update(clashing)
    git(clashing, "reset", "--quiet", "--hard")
    git(clashing, "clean", "--quiet", "-d", "--force")
    assert git(clashing, "status", "--porcelain") == ""
    assert (clashing / "Makefile").read_text().startswith(MINE)


def test_a_file_of_the_owners_at_a_path_that_the_template_adds_is_a_conflict_with_both(service: Made) -> None:
    root = service()
    (root / "docs/later.md").write_text("# My page\n\nMy text.\n")
    commit(root)
    update(root)
    text = (root / "docs/later.md").read_text()
    assert conflicts(root) == ["docs/later.md"]
    for line in ("# My page", "My text.", "# Later", "This service says plain words.", "<<<<<<<", ">>>>>>>"):
        assert line in text


def test_the_same_change_on_both_sides_is_none(service: Made) -> None:
    root = service()
    change(root / "Makefile", r"\A[^\n]*", FIRST)
    commit(root)
    update(root)
    assert conflicts(root) == []
    assert (root / "Makefile").read_text().count(FIRST) == 1
