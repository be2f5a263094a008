"""docs/extending.md, followed word by word: a slice with everything, and no file of the template's opened."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.docs.conftest import Shell, writable
from tests.docs.markdown import blocks, commands, write
from tests.manifests import EXTENSIONS
from tests.releases import git
from tests.tree import CHOICES

pytestmark = pytest.mark.timeout(900)  # a service is installed, checked and tested whole, on a busy machine too
YOURS = ("app/features/", "tests/features/", "migrations/versions/")


@pytest.fixture
def service(rendered: Render, shell: Shell, tmp_path: Path) -> Path:
    """A service without slices that enabled whatever has a section on the page, set up and committed."""
    enabled = [name for name in CHOICES["extensions"] if (EXTENSIONS / name / "docs" / "extending.md").exists()]
    root = writable(rendered(sample=False, extensions=enabled), tmp_path / "service")
    shell("make setup", root)
    return root


def test_a_slice_is_added_as_the_page_says(service: Path, shell: Shell) -> None:
    page = (service / "docs" / "extending.md").read_text()
    first, *others = commands(page)
    assert first == 'make feature name=notes fields="text:str"'
    assert others[-2:] == ["make check", "make test"]
    said = shell(first, service)
    assert all(command in said for command in others[:2])
    router = service / "app/features/notes/router.py"
    generated = router.read_text()
    for block in blocks(page):
        if block.path:
            write(service, block)
        elif block.content.startswith("@router."):  # one more route, whose import an editor adds
            assert "from fastapi import Request" in generated
            extended = generated.replace("from fastapi import Request", "from fastapi import WebSocket, Request")
            router.write_text(f"{extended}\n\n{block.content}")
            shell("uv run ruff check --quiet --fix app/features", service)
        elif block.language == "python":
            assert block.content in generated, block.content
    for command in others:
        shell(command, service)
    status = git(service, "status", "--porcelain", "--untracked-files=all").splitlines()
    assert {block.path for block in blocks(page) if block.path} <= {line[3:] for line in status}
    assert all(line[3:].startswith(YOURS) for line in status), status
    # And it can be committed: the hooks that `make setup` installed have nothing to say against it.
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--message", "Add notes")


def test_a_conflict_marker_and_a_secret_cannot_be_committed(service: Path, shell: Shell) -> None:
    for text in ("<<<<<<< ours\n", "AWS = 'AKIAIOSFODNN7EXAMPLE'\n"):  # pragma: allowlist secret
        (service / "notes.txt").write_text(text)
        git(service, "add", "notes.txt")
        done = subprocess.run(["git", "-C", service, "commit", "-m", "x"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "Failed" in done.stderr
    (service / "notes.txt").write_text("<<<<<<< ours\n")
    assert "settle them in notes.txt" in shell("make check", service, status=2)
