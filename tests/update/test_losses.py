"""Losses of plain Copier (DESIGN 8), as expected failures: a Copier that fixes one turns its test red here.

All is still in the last commit, and `git diff` shows it before the update is committed.
"""

import re
from pathlib import Path

import pytest
import yaml
from copier import VcsRef, run_update

from tests.releases import git
from tests.update.conftest import Made
from tests.update.next_release import LOSING, LOSSY, NOW, change
from tests.update.services import commit, conflicts, copier_process, update

MINE = "mine: 1"


def append(path: Path) -> None:
    """A line of the owner's at the end."""
    with path.open("a") as file:
        file.write(f"{MINE}\n")


def everything(root: Path) -> bytes:
    """The whole tree's content, conflicts included."""
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)


def with_an_edited_block(root: Path) -> Path:
    """An edit in one of four blocks that look the same."""
    change(root / "docs/blocks.yaml", r"(name: three.*?)level: low", r"\1level: mine")
    commit(root)
    return root


def block_with_the_edit(root: Path) -> str:
    """The name of the block where the owner's line stands."""
    found = [
        block["name"] for block in yaml.safe_load((root / "docs/blocks.yaml").read_text()) if block["level"] == "mine"
    ]
    return ", ".join(found)


def edited_service(service: Made) -> Path:
    """A service with an edit of its owner's where the next version changes a file, and a blank at the end of a line."""
    root = service(LOSSY)
    blocks = root / "docs" / "blocks.yaml"
    blocks.write_text(f"{MINE}\n{blocks.read_text()}")
    (root / "notes.md").write_text("a blank \n")
    commit(root)
    return root


@pytest.fixture(params=["apply.whitespace=error", "status.showUntrackedFiles=no"])
def setting(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of git that its user has for every repository."""
    name, _, value = str(request.param).partition("=")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    git(tmp_path, "config", "--file", str(tmp_path / "gitconfig"), name, value)


@pytest.mark.usefixtures("setting")
@pytest.mark.xfail(reason="Copier calls git with the settings of its user")
def test_no_setting_of_git_drops_an_edit(service: Made) -> None:
    root = edited_service(service)
    assert copier_process(root, "update", "--defaults", f"--vcs-ref={LOSING}").returncode == 0
    assert MINE in (root / "docs" / "blocks.yaml").read_text()


@pytest.mark.usefixtures("setting")
def test_the_commands_of_the_page_keep_such_an_edit(service: Made) -> None:
    root = edited_service(service)
    listed = re.findall(r"`git (config [^`]*)`", (root / "docs" / "updating.md").read_text())
    assert len(listed) == 2
    for command in listed:
        git(root, *command.split())
    assert copier_process(root, "update", "--defaults", f"--vcs-ref={LOSING}").returncode == 0
    assert MINE in (root / "docs" / "blocks.yaml").read_text()


@pytest.mark.xfail(reason="Copier deletes the files of a disabled option, edited or not, and says nothing")
def test_an_edit_in_a_file_of_an_unticked_option_is_not_lost(service: Made) -> None:
    root = service(NOW, extensions=["prometheus"])
    append(root / "app/extensions/prometheus/settings.py")
    commit(root)
    update(root, VcsRef.CURRENT, extensions=[])
    assert MINE.encode() in everything(root)


@pytest.mark.xfail(reason="Copier deletes what the template deletes, edited or not, and says nothing")
def test_an_edit_in_a_file_that_the_template_deletes_is_not_lost(service: Made) -> None:
    root = service(LOSSY)
    append(root / "docs/deleted.md")
    commit(root)
    update(root, LOSING)
    assert MINE.encode() in everything(root)


@pytest.mark.xfail(reason="Copier knows no renames: the old file goes with its edit, the new one comes without")
def test_an_edit_in_a_file_that_the_template_moves_is_not_lost(service: Made) -> None:
    root = service(LOSSY)
    append(root / "docs/moved.md")
    commit(root)
    update(root, LOSING)
    assert MINE.encode() in everything(root)


@pytest.mark.xfail(reason="Copier's diff has no binaries: the template's one replaces the owner's")
def test_an_edited_binary_is_not_lost(service: Made) -> None:
    root = service(LOSSY)
    (root / "docs/logo.bin").write_bytes(b"\0" + MINE.encode())
    commit(root)
    update(root, LOSING)
    assert MINE.encode() in everything(root) or conflicts(root) == ["docs/logo.bin"]


@pytest.mark.xfail(reason="Copier's diff has no git-ignored files: the template's one replaces the owner's")
def test_an_edit_in_a_git_ignored_file_of_the_templates_is_not_lost(service: Made) -> None:
    # Held elsewhere: no file of the template's is git-ignored in a service.
    root = service(LOSSY)
    append(root / "var/ignored.cfg")
    commit(root)
    update(root, LOSING)
    assert MINE.encode() in everything(root)


@pytest.mark.xfail(reason="three lines of context fit another block as well, and the edit moves there")
def test_an_edit_in_one_of_many_blocks_that_look_the_same_stays_in_its_block(service: Made) -> None:
    root = update(with_an_edited_block(service(LOSSY)), LOSING)
    assert block_with_the_edit(root) == "three"


def test_context_lines_keep_such_an_edit_in_its_block(service: Made) -> None:
    root = with_an_edited_block(service(LOSSY))
    run_update(root, vcs_ref=LOSING, defaults=True, overwrite=True, quiet=True, unsafe=False, context_lines=100_000)
    assert block_with_the_edit(root) == "three"


def test_nothing_else_of_these_files_is_lost(service: Made) -> None:
    root = service(LOSSY)
    (root / "docs/logo.mine").write_bytes(b"\0" + MINE.encode())
    (root / "docs/deleted-too.md").write_text(f"{MINE}\n")
    commit(root)
    update(root, LOSING)
    assert (root / "docs/logo.mine").read_bytes() == b"\0" + MINE.encode()
    assert (root / "docs/deleted-too.md").read_text() == f"{MINE}\n"
    assert not (root / "docs/deleted.md").exists()
