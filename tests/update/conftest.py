"""What the update tests share: one template with its later versions, and each service generated once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.releases import with_history
from tests.update.later import NOW, with_later_versions
from tests.update.services import duplicate, generate

Made = Callable[..., Path]


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This template, its releases, the working tree as NOW and the synthetic later versions. Nobody writes to it."""
    return with_later_versions(with_history(tmp_path_factory.mktemp("history") / "groundwork"))


@pytest.fixture(scope="session")
def fresh(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A service by version and answers: `fresh(LATER, database="postgres")`. Made once, so nobody writes to it."""
    made: dict[str, Path] = {}

    def generated(version: str = NOW, /, **answers: Any) -> Path:
        key = json.dumps([version, answers], sort_keys=True)
        if key not in made:
            made[key] = generate(history, tmp_path_factory.mktemp("fresh") / "service", version, answers)
        return made[key]

    return generated


@pytest.fixture
def service(fresh: Made, tmp_path: Path) -> Made:
    """The same, as a copy of the test's own."""

    def own(version: str = NOW, /, **answers: Any) -> Path:
        return duplicate(fresh(version, **answers), tmp_path / "service")

    return own
