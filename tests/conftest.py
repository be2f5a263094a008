"""Fixtures of the tests: the template with its history, and services rendered from it once each."""

import json
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from _pytest.nodeid import NodeId
from copier import run_copy

from tests.compiling import cloned_once, compiled_once, file_mode_asked_once
from tests.live.environment import alone
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
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` has it ignored, too
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
    items.sort(key=lambda item: item.path.name != "test_in_depth.py")  # its longest test would run alone at the end


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave what a failure left, for who looks into it."""
    if (ours := session.config.stash.get(OURS, None)) and exitstatus in {0, pytest.ExitCode.NO_TESTS_COLLECTED}:
        shutil.rmtree(ours, ignore_errors=True)


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all the processes of this run have in common."""
    base = tmp_path_factory.getbasetemp()
    # With pytest-xdist each worker has a folder of its own below the one of the run.
    return (base.parent if base.name.startswith("popen-") else base) / "common"


@pytest.fixture(scope="session", autouse=True)
def compiler(common: Path) -> Iterator[None]:
    """Keep what Copier clones and compiles in this process, and what it asks git for."""
    with compiled_once(), file_mode_asked_once(), cloned_once(common / "clones"):
        yield


@pytest.fixture(scope="session")
def template(common: Path) -> Path:
    """This template, uncommitted changes too, as a clean checkout at version `NEXT`. Do not write to it."""
    return made_once(common / "template" / "groundwork", with_history)


@pytest.fixture(scope="session")
def rendered(template: Path, common: Path) -> Render:
    """A service by its answers: `rendered(database="postgres")`. Rendered once, so do not write to it."""

    def render(**answers: Any) -> Path:
        name = sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:12]
        return made_once(common / "rendered" / name / "service", lambda root: copy(template, root, **answers))

    return render


def made_once(target: Path, make: Callable[[Path], Path]) -> Path:
    """Make a folder, unless another process of this run has made it, or is making it."""
    complete = target.with_name(f"{target.name}.complete")
    with alone(target):
        if not complete.exists():
            shutil.rmtree(target, ignore_errors=True)
            make(target)
            complete.touch()
    return target


def copy(template: Path, destination: Path, **answers: Any) -> Path:
    """Plain Copier, without trust and without a terminal."""
    run_copy(str(template), destination, answers, vcs_ref=NEXT, defaults=True, quiet=True, unsafe=False)
    return destination
