"""The number of files of a new service: it stays small, and more needs a decision."""

from pathlib import Path

import pytest

from tests.render import render
from tests.tree import CHOICES

MOST = {"minimal": 100, "standard": 142, "production": 275}


@pytest.mark.parametrize("database", CHOICES["database"])
@pytest.mark.parametrize("preset", MOST)
def test_a_new_service_has_few_files(preset: str, database: str, tmp_path: Path) -> None:
    root = render(tmp_path / "service", {"preset": preset, "database": database})  # one that no other test has used
    found = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    assert len([path for path in found if path.parts[0] != ".git"]) <= MOST[preset]
