"""Edits of an owner: they survive a newer version, another database and a disabled extension."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from copier import VcsRef

from tests.update.conftest import Made
from tests.update.next_release import FIRST, LATER, NOW
from tests.update.owner_edits import ADDED, BELOW, MINE, keeps
from tests.update.services import commit, conflicts, duplicate, files, update

UPDATES: dict[str, Callable[[Path], Path]] = {
    "newer version": update,
    "other database": lambda root: update(root, VcsRef.CURRENT, database="postgres"),
    "extension disabled": lambda root: update(root, VcsRef.CURRENT, extensions=[]),
    "all at once": lambda root: update(root, LATER, database="postgres", extensions=["beacon"], greeting="warm"),
}
pytestmark = pytest.mark.xdist_group("owner")


@dataclass(frozen=True, kw_only=True)
class Update:
    """A service before and after."""

    kind: str
    before: Path
    after: Path

    def untouched(self, *names: str) -> bool:
        """Return whether files exist, and are as the owner left them."""
        one, other = files(self.before), files(self.after)
        return all(one[name] == other[name] for name in names)

    def text(self, name: str) -> str:
        """A file after the update."""
        return (self.after / name).read_text()


@pytest.fixture(scope="module")
def edited(fresh: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service that its owner edited everywhere."""
    root = duplicate(
        fresh(NOW, python_version="3.11", extensions=["prometheus"]), tmp_path_factory.mktemp("edited") / "service"
    )
    keeps(root)
    commit(root)
    return root


@pytest.fixture(scope="module", params=UPDATES)
def updated(request: pytest.FixtureRequest, edited: Path, tmp_path_factory: pytest.TempPathFactory) -> Update:
    """The same, updated."""
    after = duplicate(edited, tmp_path_factory.mktemp("updated") / "service")
    return Update(kind=request.param, before=edited, after=UPDATES[request.param](after))


def test_there_is_no_conflict_and_no_rejected_hunk(updated: Update) -> None:
    assert conflicts(updated.after) == []
    assert not list(updated.after.rglob("*.rej"))
    assert not list(updated.after.rglob("*.orig"))


def test_every_file_of_the_owners_is_as_it_was(updated: Update) -> None:
    assert updated.untouched(*MINE)


def test_a_slice_of_the_owners_with_its_migration_stays(updated: Update) -> None:
    assert updated.untouched(
        "app/features/billing/__init__.py",
        "app/features/billing/settings.py",
        "tests/features/billing/test_billing.py",
        "migrations/versions/0002_billing.py",
        "app/features/ping.py",
    )


def test_a_changed_sample_stays_changed_and_whole(updated: Update) -> None:
    sample = [name for name in files(updated.before) if name.startswith(("app/features/", "tests/features/"))]
    assert len(sample) > 6
    assert updated.untouched(*sample, "migrations/versions/0001_orders.py")


def test_the_list_of_features_stays_as_its_owner_wrote_it(updated: Update) -> None:
    assert updated.untouched("app/features/__init__.py")
    assert updated.text("app/features/__init__.py").endswith(ADDED["app/features/__init__.py"])


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "CHANGELOG.md"])
def test_a_changed_text_for_people_stays(name: str, updated: Update) -> None:
    assert updated.untouched(name)
    assert updated.text(name).endswith(ADDED[name])


@pytest.mark.parametrize(
    "name", ["uv.lock", "local.mk", "compose.override.yaml", ".github/workflows/mine.yml", "docs/mine.md"]
)
def test_a_file_beside_the_templates_stays(name: str, updated: Update) -> None:
    assert updated.untouched(name)


@pytest.mark.parametrize("name", [".env", "var/mine.db"])
def test_a_git_ignored_file_stays(name: str, updated: Update) -> None:
    assert updated.untouched(name)


def test_a_module_in_an_extensions_folder_stays_even_when_it_is_unticked(updated: Update) -> None:
    assert updated.untouched("app/extensions/prometheus/mine.py")
    assert (updated.after / "app/extensions/prometheus/__init__.py").exists() is (
        updated.kind in {"newer version", "other database"}
    )


def test_a_binary_of_the_owners_stays(updated: Update) -> None:
    assert updated.untouched("app/features/billing/logo.png")


def test_names_with_spaces_and_umlauts_and_other_line_ends_stay(updated: Update) -> None:
    assert updated.untouched("notes/Größe und Maß.md", "notes/no last line end.txt", "notes/windows.txt")


def test_a_link_stays_a_link(updated: Update) -> None:
    assert (updated.after / "notes/link.md").readlink() == Path("../README.md")


def test_executable_bits_stay(updated: Update) -> None:
    for name in ("bin/deploy.sh", "app/core/health.py"):
        assert (updated.after / name).stat().st_mode & 0o111, name
    assert not (updated.after / "app/main.py").stat().st_mode & 0o111


@pytest.mark.parametrize("line", ['"stripe>=12"', '"aiosmtplib"', '"time-machine"', '"by-hand>=1,<2"'])
def test_dependencies_below_the_marker_stay_below_it(line: str, updated: Update) -> None:
    lines = [entry.strip(" ,") for entry in updated.text("pyproject.toml").splitlines()]
    first, second = (number for number, entry in enumerate(lines) if BELOW in entry)
    marker = second if "time" in line else first
    assert line in lines[marker + 1 : lines.index("]", marker)]


@pytest.mark.parametrize("name", [".gitignore", ".env.example"])
def test_lines_below_the_marker_of_a_shared_file_stay_below_it(name: str, updated: Update) -> None:
    *_, below = updated.text(name).partition(BELOW)
    assert below.split("\n", 1)[1] == ADDED[name]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Makefile", "pytest --cov --exitfirst"),
        ("pyproject.toml", "fail_under = 99"),
        ("app/main.py", "MINE = 4"),
    ],
)
def test_an_edit_in_a_file_of_the_templates_merges(name: str, line: str, updated: Update) -> None:
    assert updated.text(name).count(line) == 1
    assert "<<<<<<<" not in updated.text(name)


def test_the_newer_version_arrives_in_every_file_that_the_owner_edited_too(updated: Update) -> None:
    newer = updated.kind in {"newer version", "all at once"}
    assert (FIRST in updated.text("Makefile")) is newer
    assert ("later: ## New" in updated.text("Makefile")) is newer
    assert ('LATER = "a last line"' in updated.text("app/main.py")) is newer
    for name, line in {
        "pyproject.toml": '"tenacity>=9,<10"',
        ".gitignore": "later-cache/",
        ".env.example": "SERVICE__LATER=1",
    }.items():
        above, *_ = updated.text(name).partition(BELOW)
        assert (line in above) is newer, name


def test_an_option_arrives_in_every_file_that_the_owner_edited_too(updated: Update) -> None:
    other = updated.kind in {"other database", "all at once"}
    assert ("asyncpg" in updated.text("pyproject.toml").partition(BELOW)[0]) is other
    assert ("aiosqlite" in updated.text("pyproject.toml")) is not other
