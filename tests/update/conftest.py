"""The template with its later versions, and services generated from it, for the tests of updates."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import made_once
from tests.live.conftest import new_database, postgres_server
from tests.releases import with_history
from tests.update.next_release import NOW, with_later_versions
from tests.update.services import duplicate, generate

Made = Callable[..., Path]
__all__ = ["new_database", "postgres_server"]


@pytest.fixture(scope="session")
def history(common: Path) -> Path:
    """This template, its releases, the working tree as NOW and the synthetic later versions. Do not write to it."""
    return made_once(common / "history" / "groundwork", lambda target: with_later_versions(with_history(target)))


@pytest.fixture(scope="session")
def fresh(history: Path, common: Path) -> Made:
    """A service by version and answers: `fresh(LATER, database="postgres")`. Made once, so do not write to it."""

    def generated(version: str = NOW, /, **answers: Any) -> Path:
        name = sha256(json.dumps([version, answers], sort_keys=True).encode()).hexdigest()[:12]
        return made_once(
            common / "fresh" / name / "service", lambda target: generate(history, target, version, answers)
        )

    return generated


@pytest.fixture
def service(fresh: Made, tmp_path: Path) -> Made:
    """The same, as a copy of the test's own."""

    def own(version: str = NOW, /, **answers: Any) -> Path:
        return duplicate(fresh(version, **answers), tmp_path / "service")

    return own
