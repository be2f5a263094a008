"""The number of files of a new service: it stays small, and more needs a decision."""

import pytest

from tests.conftest import Render
from tests.tree import CHOICES

MOST = {"minimal": 85, "standard": 126, "production": 252}


@pytest.mark.parametrize("database", CHOICES["database"])
@pytest.mark.parametrize("preset", MOST)
def test_a_new_service_has_few_files(preset: str, database: str, rendered: Render) -> None:
    root = rendered(preset=preset, database=database)
    found = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    assert len([path for path in found if path.parts[0] != ".git"]) <= MOST[preset]
