"""What the tests share: the template with its history, and services rendered from it once each."""

import json
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.nodeid import NodeId
from copier import run_copy

from tests.compiling import compiled_once, file_mode_asked_once
from tests.releases import NEXT, with_history

Render = Callable[..., Path]
OURS = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give this run a folder of its own, removed after a success, and Ctrl-C its meaning.

    Each start of pytest closes the one that is the default to other users, and services below it run pytest too, beside
    PostgreSQL's programs, which another user runs where the tests are root's.
    """
    # A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp is None:
        config.option.basetemp = Path(tempfile.mkdtemp(prefix="groundwork-tests-")) / "tests"
        config.stash[OURS] = config.option.basetemp.parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each `xdist_group` on one worker, so that what its tests share is made once.

    pytest-xdist 3.8 writes the group to `_nodeid`, where pytest 9.2 no longer looks, and spreads the tests in silence:
    https://github.com/pytest-dev/pytest-xdist/issues/1386
    """
    for item in items:
        if grouped := getattr(item, "_nodeid", None):
            item._id = NodeId.parse(grouped)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave what a failure left, for who looks into it."""
    if (ours := session.config.stash.get(OURS, None)) and exitstatus in {0, pytest.ExitCode.NO_TESTS_COLLECTED}:
        shutil.rmtree(ours, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def compiler() -> Iterator[None]:
    """What Copier compiles in this process stays compiled, and what it asks git for is asked once."""
    with compiled_once(), file_mode_asked_once():
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This template, uncommitted changes too, as a clean checkout at version `NEXT`. Nobody writes to it."""
    return with_history(tmp_path_factory.mktemp("template") / "groundwork")


@pytest.fixture(scope="session")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """A service by its answers: `rendered(database="postgres")`. Rendered once, so nobody writes to it."""
    made: dict[str, Path] = {}

    def render(**answers: Any) -> Path:
        key = json.dumps(answers, sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("service") / "service"
            copy(template, made[key], **answers)
        return made[key]

    return render


def copy(template: Path, destination: Path, **answers: Any) -> Path:
    """Plain Copier, without trust and without a terminal."""
    run_copy(str(template), destination, answers, vcs_ref=NEXT, defaults=True, quiet=True, unsafe=False)
    return destination
