"""Services of every release, as their owners have them, work after an update to the working tree."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.releases import releases
from tests.tree import CHOICES
from tests.update.conftest import Made
from tests.update.next_release import NOW, change
from tests.update.released_services import imported, migrate, modules, offered, run, told, work
from tests.update.services import commit, conflicts, different, duplicate, the_owners, update

pytestmark = pytest.mark.timeout(900)  # tests, types and migrations of a whole service, on a busy machine too
RELEASED = [f"v{version}" for version in releases()]
INTERNAL = {
    "app.core.deadlines": "only the request middleware used it",
    "app.core.outage": "only extensions used it, and each that needs it has its own",
    "app.core.stopping": "only the server used it, and its signal handlers are no API",
}
"""Modules that were at the top of core and went away without an old import path, each with its reason."""
EVENTS = ("BreakerChanged", "CacheRead", "CallFinished", "CallRetried", "JobFailed", "JobFinished", "TokensUsed")
INTERNAL_NAMES = {
    "app.core.context": {
        "Around": "the type of what `idempotency` put around endpoints: it is inside that extension now"
    },
    "app.core.database_errors": dict.fromkeys(("as_service_error", "fields_of"), "only the core translated errors"),
    "app.core.server": dict.fromkeys(("Worker", "Workers"), "only the start of the service used them"),
    "app.core.telemetry": dict.fromkeys(EVENTS, "events of an extension: without it, none of them is ever emitted"),
}
"""Names that went away from modules that features import, each with its reason. No page has shown one."""


@dataclass(frozen=True, kw_only=True)
class Owned:
    """A service of an old release with its owner's work, before and after the update, and its database."""

    before: Path
    after: Path
    url: str

    def run(self, *arguments: str) -> str:
        """Run Python in the updated service."""
        return run(self.after, self.url, *arguments)


def services() -> list[Any]:
    """Return each release on each database; `make test` has each release on SQLite, and the newest one on both."""
    found = []
    for version in RELEASED:
        for database in CHOICES["database"]:
            quick = database == CHOICES["database"][0] or version == RELEASED[-1]
            name = f"{version}-{database}"
            marks = [pytest.mark.xdist_group(name), *([] if quick else [pytest.mark.full])]
            found.append(pytest.param((version, database), id=name, marks=marks))
    return found


@pytest.fixture(scope="module", params=services())
def owned(
    request: pytest.FixtureRequest,
    fresh: Made,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Owned:
    """A service with everything that the preset `production` enables."""
    version, database = request.param
    folder = tmp_path_factory.mktemp("released")
    before = duplicate(fresh(version, preset="production", database=database), folder / "before")
    url = new_database(database)
    work(before, url)
    after = duplicate(before, folder / "after")
    return Owned(before=before, after=update(after, NOW), url=url)


@pytest.fixture(scope="session")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for mypy: most of what it reads are libraries."""
    return tmp_path_factory.mktemp("mypy")


def test_the_update_leaves_the_owners_work_as_it_was(owned: Owned) -> None:
    assert conflicts(owned.after) == []
    assert different(the_owners(owned.before), the_owners(owned.after)) == []


def test_the_owners_tests_pass(owned: Owned) -> None:
    owned.run("-m", "pytest", "tests/features", "-q", "-p", "no:cacheprovider")


def test_the_owners_code_has_the_types_that_it_had(owned: Owned, types: Path) -> None:
    owned.run("-m", "mypy", f"--cache-dir={types}", "app/features")


def test_the_owners_database_takes_the_migrations_and_lacks_none(owned: Owned) -> None:
    migrate(owned.after, owned.url, "upgrade(ini, 'head')", "check(ini)")


@pytest.mark.parametrize("preset", ["minimal", "production"])
@pytest.mark.parametrize("version", RELEASED)
def test_every_import_that_a_release_allowed_works(preset: str, version: str, fresh: Made, service: Made) -> None:
    old = fresh(version, preset=preset)
    shown, allowed = told(old), offered(old)
    for module, names in shown.items():
        allowed.setdefault(module, set()).update(names)
    root = update(service(version, preset=preset), NOW)
    there = set(modules(root))
    for module, found in imported(root, allowed).items():
        if module in INTERNAL:
            assert found["error"], f"{module} is there again: take it off the list"
            continue
        assert not found["error"], f"{module}: {found['error']}"
        moved = module.startswith("app.core") and module not in there
        missing = set(found["missing"]) - (INTERNAL_NAMES.get(module, {}).keys() - shown.get(module, set()))
        # A module that is internal now may rename what no page has shown.
        assert not (missing & shown.get(module, set()) if moved else missing), f"{module}: {missing}"
        # An import may also warn of the old name of the list in `app/features`.
        places = [
            place
            for name, is_now, place in (one.partition(" is now ") for one in found["warnings"])
            if is_now and name == module
        ]
        assert len(places) == moved, f"{module}: {found['warnings']}"
        for place in places:
            assert place.removesuffix(": change the import") in there


@pytest.mark.parametrize("version", RELEASED)
def test_a_page_of_a_release_names_no_internal_module(version: str, fresh: Made) -> None:
    assert not INTERNAL.keys() & told(fresh(version, preset="production")).keys()


def test_a_feature_that_imports_a_moved_module_passes_its_tests_and_names_the_new_place(
    service: Made, new_database: Callable[[str], str]
) -> None:
    root = service("v0.3.3", preset="minimal")  # the last release that had the module there
    change(root / "app/features/orders/__init__.py", "^(?=from app.core)", "from app.core import problems\n")
    change(root / "app/features/orders/__init__.py", r"\Z", "\n\nProblem = problems.Problem\n")
    commit(root)
    update(root, NOW)
    arguments = ["tests/features/orders/test_placing.py", "-p", "no:cacheprovider"]
    printed = run(root, new_database("sqlite"), "-m", "pytest", *arguments)
    assert "DeprecationWarning: app.core.problems is now app.core.http.problems: change the import" in printed
