"""CONTRIBUTING.md: an extension added word by word, in a clone; enabled it works, disabled it leaves no trace."""

import filecmp
import re
from pathlib import Path

import pytest

from tests.docs.conftest import Shell
from tests.docs.markdown import Block, blocks, commands, rows, write
from tests.manifests import EXTENSIONS, REPOSITORY
from tests.releases import git, overlay
from tests.render import render
from tests.tree import MANIFESTS, texts

PAGE = (REPOSITORY / "CONTRIBUTING.md").read_text()
SECTION = PAGE[PAGE.index("## Add an extension in ten minutes") : PAGE.index("## Rules that tests hold")]


def patch(root: Path, block: Block) -> None:
    """Do what a `diff` block says: put the lines with a plus where the lines around them are."""
    assert block.path
    path = root / block.path
    lines = block.content.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    text = path.read_text()
    assert text.count(before) == 1, f"{block.path} has these lines {text.count(before)} times:\n{before}"
    path.write_text(text.replace(before, "".join(line[1:] for line in lines)))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone, with what is not committed yet."""
    root = tmp_path / "groundwork"
    git(REPOSITORY, "clone", "--quiet", "--no-tags", str(REPOSITORY), str(root))
    overlay(root)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "the working tree")
    return root


@pytest.mark.timeout(900)  # it installs, checks and tests twice, on a busy machine too
def test_an_extension_is_added_as_the_page_says(clone: Path, shell: Shell, tmp_path: Path) -> None:
    plain = render(tmp_path / "plain", {"extensions": []}, template=clone)
    for block in blocks(SECTION):
        if block.path and block.language == "diff":
            patch(clone, block)
        elif block.path:
            write(clone, block)
    listed = commands(SECTION)
    assert listed[0] == "make manifests"
    for command in listed:
        shell(command, clone)
    changed = git(clone, "status", "--porcelain", "--untracked-files=all").splitlines()
    outside = [line[3:] for line in changed if not line[3:].startswith("extensions/greeting/")]
    assert outside == ["README.md", "copier.yml"]  # `make manifests` writes the row of the first
    assert git(clone, "diff", "--numstat") == "1\t0\tREADME.md\n1\t0\tcopier.yml\n"

    service = tmp_path / "greeting"
    assert "GREETING__WORD=hello" in (service / ".env.example").read_text()
    assert "`GREETING__WORD`" in (service / "docs" / "configuration.md").read_text()
    assert (service / "docs" / "options" / "greeting.md").read_text().startswith("# Greeting\n")

    off = render(tmp_path / "off", {"extensions": []}, template=clone)
    paths = [path.relative_to(plain) for path in texts(plain)]
    assert paths == [path.relative_to(off) for path in texts(off)]
    for path in paths:
        same = filecmp.cmp(plain / path, off / path, shallow=False)
        assert same or path.name == ".copier-answers.yml", path
        assert "greeting" not in (off / path).read_text().lower(), path


def test_every_command_of_the_page_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for command in [*commands(PAGE), *re.findall(r"`(make [^`]+)`", PAGE)]:
        if command.startswith("make ") and "-C" not in command:
            assert command.split()[1] in targets, command


def test_every_fragment_is_in_the_tables() -> None:
    page = (REPOSITORY / "docs" / "how-it-works.md").read_text()
    told = {
        name
        for heading in ("Fragment", "Collected")
        for row in rows(page, heading)
        for name in re.findall(r"`([^`]+)`", row[0])
    }
    deeper = {name for name in told if name.removesuffix("/").count("/") > 1}
    assert all(any((EXTENSIONS / part / name).exists() for part in MANIFESTS) for name in deeper)
    present = set()
    for part in MANIFESTS:
        folder = EXTENSIONS / part
        for entry in [*folder.iterdir(), *folder.glob("docs/*"), *folder.glob("deploy/*")]:
            present.add(entry.relative_to(folder).as_posix() + "/" * entry.is_dir())
    own = {"extension.yml", "files/", "docs/", "deploy/", "tests/", "deploy/compose.jinja", "deploy/pods.jinja"}
    assert told - deeper == present - own
