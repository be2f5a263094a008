"""The tables of who owns what, here and in a service, against a rendered tree and copier.yml's own rules."""

import re
from pathlib import Path

import pytest
from pathspec import PathSpec

from tests.conftest import Render
from tests.docs.markdown import rows
from tests.manifests import REPOSITORY
from tests.tree import CHOICES, CONFIGURATION, environment, texts

MARKER = "stand below this line"
COMPOSE = {"compose.override.yaml", "compose.production.override.yaml", "production.env"}
NEVER_RENDERED = {"uv.lock", ".env", "local.mk", "deploy/", *COMPOSE}


@pytest.fixture(params=CHOICES["database"])
def root(request: pytest.FixtureRequest, rendered: Render) -> Path:
    """A service with everything enabled, on each database."""
    return rendered(database=request.param, preset="production", ci=CHOICES["ci"][0])


def owner(root: Path, path: str) -> str:
    """Return the owner of a file, by what an update does with it."""
    excluded = [
        environment().from_string(item).render(_copier_operation="update") for item in CONFIGURATION["_exclude"]
    ]
    kept = PathSpec.from_lines("gitignore", "\n".join([*excluded, *CONFIGURATION["_skip_if_exists"]]).splitlines())
    if kept.match_file(path):
        return "owner"
    return "shared" if MARKER in (root / path).read_text() and not path.startswith("docs/") else "template"


def table(page: Path) -> dict[str, str]:
    """Each path of a page's table with its owner."""
    owners = {}
    for cells in rows(page.read_text(), "Path"):
        for path in re.findall(r"`([^`]+)`", cells[0]) or [cells[0]]:
            owners[path] = "owner" if cells[1] == "you" else cells[1]
    return owners


def found(owners: dict[str, str], path: str) -> str | None:
    """Return the owner of a file by a table: its longest row counts."""
    matching = [row for row in owners if path == row or (row.endswith("/") and path.startswith(row))]
    return owners[max(matching, key=len)] if matching else owners.get("everything else")


@pytest.mark.parametrize("here", [True, False], ids=["repository", "service"])
def test_the_table_is_true_of_every_file(here: bool, root: Path) -> None:
    owners = table(REPOSITORY / "docs" / "updates.md" if here else root / "docs" / "updating.md")
    assert owners
    for path in [path.relative_to(root).as_posix() for path in texts(root)]:
        assert found(owners, path) == owner(root, path), path


def test_the_services_table_has_no_path_that_is_not_there(root: Path) -> None:
    for path in table(root / "docs" / "updating.md"):
        assert path in NEVER_RENDERED or (root / path).exists(), path
