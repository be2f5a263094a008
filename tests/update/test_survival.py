"""Survival: whatever an owner does, every line of theirs is in the tree after an update, or inside a conflict."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.update.conftest import Made
from tests.update.next_release import LATER, NOW
from tests.update.services import commit, duplicate, files, update

Edit = Callable[[Path, str], None]
"""Changes a service, and marks each line that it writes with a word of its own."""

NAMES = st.from_regex(r"[a-z]{1,8}( [a-zäß]{1,4})?\.(py|md|txt|bin)", fullmatch=True)
FOLDERS = st.sampled_from(
    [
        "",
        "app/features/mine",
        "app/features/orders",
        "tests/features/mine",
        "migrations/versions",
        "docs",
        "app/core",
        "ops",
    ]
)
YOURS = st.sampled_from(
    [
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "app/features/__init__.py",
        "app/features/orders/service.py",
        "app/features/orders/models.py",
        "migrations/versions/0001_orders.py",
    ]
)
TEMPLATES = st.sampled_from(
    ["Makefile", "pyproject.toml", "app/main.py", "app/core/health.py", "app/core/data/engine.py", "docs/api.md"]
)
SHARED = st.sampled_from([".gitignore", ".env.example"])
ENDS = st.sampled_from(["\n", "\r\n", ""])


def adding(folder: str, name: str, end: str, lines: int) -> Edit:
    """A new file, in any folder."""

    def edit(root: Path, word: str) -> None:
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        binary = "\0" if name.endswith(".bin") else ""
        text = (end or "\n").join(f"{binary}{word} {number}" for number in range(lines))
        path.write_bytes(f"{text}{end}".encode())

    return edit


def inserting(name: str, place: float, lines: int) -> Edit:
    """New lines somewhere in a file."""

    def edit(root: Path, word: str) -> None:
        path = root / name
        if path.exists():
            old = path.read_text().splitlines(keepends=True)
            at = round(place * len(old))
            path.write_text("".join([*old[:at], *(f"{word} {number}\n" for number in range(lines)), *old[at:]]))

    return edit


def appending(name: str) -> Edit:
    """A line at the end, which is below the marker of a shared file."""
    return inserting(name, 1.0, 1)


def deleting(name: str) -> Edit:
    """A file gone."""

    def edit(root: Path, _: str) -> None:
        (root / name).unlink(missing_ok=True)

    return edit


def moving(name: str, to: str) -> Edit:
    """A file elsewhere, with a line more."""

    def edit(root: Path, word: str) -> None:
        if (root / name).exists() and not (root / to).exists():
            appending(name)(root, word)
            (root / to).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / name, root / to)

    return edit


EDITS = st.lists(
    st.one_of(
        st.builds(adding, FOLDERS, NAMES, ENDS, st.integers(1, 4)),
        st.builds(inserting, YOURS | TEMPLATES, st.floats(0, 1), st.integers(1, 3)),
        st.builds(appending, SHARED),
        st.builds(deleting, YOURS),
        st.builds(moving, YOURS | TEMPLATES, NAMES.map(lambda name: f"moved/{name}")),
    ),
    min_size=4,
    max_size=14,
)


def lines(root: Path) -> Counter[bytes]:
    """Return how often each marked line is in the tree."""
    found = (line.strip() for content, _ in files(root).values() for line in content.split(b"\n"))
    return Counter(line for line in found if b"owned" in line)


def survives(fresh: Made, tmp_path: Path, edits: list[Edit], answers: dict[str, object]) -> None:
    """Edit, update, and count the owner's lines."""
    root = duplicate(fresh(NOW, extensions=["prometheus"]), tmp_path / "service")
    try:
        for number, edit in enumerate(edits):
            edit(root, f"# owned {number}:")
        commit(root)
        before = lines(root)
        update(root, LATER, **answers)
        assert not before - lines(root)
        assert not list(root.rglob("*.rej"))
    finally:
        shutil.rmtree(root)


CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
PHASES = [Phase.explicit, Phase.generate]
ANSWERS = st.sampled_from([{}, {"database": "postgres"}, {"sample": False, "license": "proprietary"}])


@pytest.mark.timeout(900)  # twenty seconds on a machine of its own
@settings(max_examples=12, deadline=None, suppress_health_check=CHECKS, phases=PHASES, derandomize=True)
@given(edits=EDITS, answers=ANSWERS)
def test_every_line_of_the_owners_survives(
    fresh: Made, tmp_path: Path, edits: list[Edit], answers: dict[str, object]
) -> None:
    survives(fresh, tmp_path, edits, answers)


@pytest.mark.full
@pytest.mark.timeout(1800)
@settings(max_examples=200, deadline=None, suppress_health_check=CHECKS)
@given(edits=EDITS, answers=ANSWERS)
def test_every_line_of_the_owners_survives_many_more_edits(
    fresh: Made, tmp_path: Path, edits: list[Edit], answers: dict[str, object]
) -> None:
    survives(fresh, tmp_path, edits, answers)
