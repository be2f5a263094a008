"""Fixtures of the live tests: services rendered once each, their Pythons, and a PostgreSQL with a database for each."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.live import postgres
from tests.live.environment import DEFAULT, alone, interpreter
from tests.live.service import Rendered, Service, running
from tests.render import render
from tests.tree import CHOICES

Make = Callable[..., Rendered]
Run = Callable[..., Service]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all the processes of this run have in common."""
    base = tmp_path_factory.getbasetemp()
    # With pytest-xdist each worker has a folder of its own below the one of the run.
    return (base.parent if base.name.startswith("popen-") else base) / "live"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL that stays up: a test that stops a server has one of its own."""
    with postgres.serve() as server:
        yield server


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Makes an empty database of a kind, and returns its URL."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('sqlite') / 'service.db'}"
        server: postgres.Server = request.getfixturevalue("postgres_server")
        return server.database()

    return make


@pytest.fixture(scope="session")
def rendered(shared: Path, new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A service by its answers: `rendered(database="postgres")`, with a migrated database of its own.

    The files are shared by everybody who asks for the same answers, unless one asks for a `copy`, to change it.
    """

    def make(
        *, python: str = DEFAULT, migrated: bool = True, copy: bool = False, url: str | None = None, **answers: Any
    ) -> Rendered:
        answers = {"database": "sqlite", "python_version": python, **answers}
        name = json.dumps(answers, sort_keys=True)
        root = shared / "services" / sha256(name.encode()).hexdigest()[:12]
        with alone(root):
            if not root.exists():
                render(root, answers)
        if copy:
            root = Path(shutil.copytree(root, tmp_path_factory.mktemp("copy") / "service"))
        if url is None:
            url = new_database(str(answers["database"]))
        service = Rendered(root, interpreter(python), database=url)
        if migrated:
            service.migrate()
        return service

    return make


@pytest.fixture(scope="module", params=CHOICES["database"])
def base(request: pytest.FixtureRequest) -> str:
    """Each database in turn."""
    return str(request.param)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts a service and waits until it is ready: `run(rendered, LOG__LEVEL="DEBUG")`. All are gone at the end."""
    with ExitStack() as stack:
        numbers = count(1)

        def start(rendered: Rendered, *, port: int | None = None, **settings: str) -> Service:
            log = tmp_path / f"service-{next(numbers)}.log"
            return stack.enter_context(running(rendered, log, settings, port=port))

        yield start


def sql(url: str, statement: str, server: postgres.Server | None = None) -> str:
    """Do something to a service's database behind its back, and return the first value that it gives."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.partition("///")[2], timeout=10, isolation_level=None)) as connection:
            row = connection.execute(statement).fetchone()
        return str(row[0]) if row else ""
    assert server is not None
    return server.execute(statement, url=url).strip()


@pytest.fixture(scope="session")
def probed(rendered: Make) -> Make:
    """A service like `rendered`, to which its owner has added the slice `slices/probe.py`."""
    made: dict[str, Path] = {}

    def make(**answers: Any) -> Rendered:
        key = json.dumps({name: answers[name] for name in sorted(answers) if name not in {"url", "migrated"}})
        if key not in made:
            service = rendered(copy=True, **answers)
            made[key] = service.root
            slices = service.root / "app" / "features"
            (slices / "probe.py").write_text((Path(__file__).parent / "slices" / "probe.py").read_text())
            listed = (slices / "__init__.py").read_text()
            listed = listed.replace("from app.features import orders", "from app.features import orders, probe")
            listed = listed.replace("[orders.component()]", "[orders.component(), *probe.components()]")
            assert "probe.components()" in listed
            (slices / "__init__.py").write_text(listed)
            return service
        plain = rendered(**answers)
        return Rendered(made[key], plain.python, database=plain.database)

    return make
