"""Each extension's folder: complete, true to its manifest, and fit to be laid over the skeleton."""

import re
from itertools import combinations

import pytest

from tests.manifests import EXTENSIONS, README, REPOSITORY, readme, rewritten, shipped
from tests.tree import CHOICES, MANIFESTS, PAGES, SEEDS, TEMPLATE, texts

KEYS = [
    "title",
    "help",
    "cost",
    "presets",
    "requires",
    "conflicts",
    "dependencies",
    "dev-dependencies",
    "files",
    "scripts",
]
FOLDER = {"extension.yml", "docs/guide.md", "files"}
MOST_ENTRIES = 8
TESTS = "test-dependencies"
"""The libraries that only the tests of an extension need, which services do without. Most manifests have none."""
SHARED = EXTENSIONS / "shared"
YOURS = ("app/features/", "tests/features/", "migrations/versions/")


def entries(name: str) -> set[str]:
    """Return the entries of an extension's folder: `docs/` and `deploy/` by what is in them."""
    folder = EXTENSIONS / name
    nested = {
        path.relative_to(folder).as_posix() for inner in ("docs", "deploy") for path in (folder / inner).glob("*")
    }
    return nested | {path.name for path in folder.iterdir()} - {"docs", "deploy", "tests"}


def paths(name: str) -> list[str]:
    """Return the paths of an extension's files in the service."""
    return [*MANIFESTS[name]["files"], *MANIFESTS[name]["scripts"]]


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_says_everything(name: str) -> None:
    part = MANIFESTS[name]
    assert set(KEYS) <= set(part) <= {*KEYS, TESTS, "seed", "page", "words", "collects", "fragments", "shared"}
    for key in ("title", "help", "cost"):
        assert "\n" not in part[key].strip()
        assert part[key].strip()
    for rule in part["requires"]:
        assert set(rule) == {"any", "reason"}
    for rule in part["conflicts"]:
        assert set(rule) == {"with", "reason"}
    for key in ("dependencies", "dev-dependencies", TESTS, "files", "scripts"):
        assert part.get(key, []) == sorted(part.get(key, [])), key


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_dependency_has_an_upper_bound(name: str) -> None:
    part = MANIFESTS[name]
    for dependency in [*part["dependencies"], *part["dev-dependencies"], *part.get(TESTS, [])]:
        assert re.fullmatch(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?>=[\d.]+(b\d+)?,<[\d.]+", dependency)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_manifest_lists_what_the_folder_has(name: str) -> None:
    assert rewritten(name) == (EXTENSIONS / name / "extension.yml").read_text(), "run `make fix`"
    assert shipped(name) == {key: MANIFESTS[name][key] for key in ("files", "scripts")}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_folder_is_complete_and_each_fragment_is_used(name: str) -> None:
    assert "extension.yml" in entries(name)
    assert ("docs/guide.md" in entries(name)) == (name in [*PAGES, *SEEDS])
    assert paths(name) or entries(name) - FOLDER, "an option that adds nothing is none"
    shared = "".join(path.read_text() for path in [*texts(TEMPLATE), *texts(EXTENSIONS)] if path.suffix != ".py")
    for fragment in entries(name) - {"extension.yml", "files", *MANIFESTS[name].get("fragments", [])}:
        assert re.search(rf'"/{re.escape(fragment)}["/]', shared), f"no shared file includes {fragment}"


def test_the_table_of_options_is_that_of_the_manifests() -> None:
    assert readme() == README.read_text(), "run `make manifests`"


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_folder_has_eight_entries_at_most(name: str) -> None:
    assert len(list((EXTENSIONS / name).iterdir())) <= MOST_ENTRIES


def test_every_folder_can_be_chosen() -> None:
    offered = {value for choices in CHOICES.values() for value in choices}
    assert {path.name for path in EXTENSIONS.iterdir() if path.is_dir()} == {*MANIFESTS, SHARED.name}
    assert set(MANIFESTS) == {name for name in MANIFESTS if name in offered} | set(SEEDS)


def test_a_shared_file_is_used_by_two_extensions_and_is_no_path_of_another() -> None:
    files = {path.relative_to(SHARED).as_posix() for path in texts(SHARED)}
    for path in files:
        assert sum(path in part.get("shared", []) for part in MANIFESTS.values()) > 1, path
        assert not [name for name in MANIFESTS if path in paths(name)], path
        assert not (TEMPLATE / path).exists()
    assert {path for part in MANIFESTS.values() for path in part.get("shared", [])} == files


def test_no_text_below_extensions_is_binary_or_has_windows_line_ends() -> None:
    for path in texts(EXTENSIONS):
        assert b"\r" not in path.read_bytes(), path
        assert path.read_text(encoding="utf-8").endswith("\n") or not path.read_bytes(), f"{path} has no last line end"


def test_python_that_passes_through_jinja_has_none_in_it() -> None:
    for path in EXTENSIONS.glob("*/files/**/*.py"):
        for mark in ("{{", "{%", "{#"):
            assert mark not in path.read_text(), f"{path}: Jinja reads {mark}, so f-strings render to something else"


def test_an_include_ends_where_its_file_ends() -> None:
    # keep_trailing_newline keeps the last line end, and trim_blocks eats one that begins a file.
    for folder in EXTENSIONS.glob("*/files"):
        for path in texts(folder):
            assert not path.read_text().startswith("\n"), path


@pytest.mark.parametrize("name", MANIFESTS)
def test_no_extension_names_another(name: str) -> None:
    others = [other for other in MANIFESTS if other != name]
    for path in texts(EXTENSIONS / name / "files"):
        found = re.findall(rf"app\.extensions\.({'|'.join(others)})\b", path.read_text())
        assert not found, f"{path} names {found}"


@pytest.mark.parametrize(("one", "other"), list(combinations(sorted(MANIFESTS), 2)))
def test_two_extensions_that_ship_one_path_exclude_each_other(one: str, other: str) -> None:
    apart = [CHOICES["database"], CHOICES["ci"], CHOICES["response_format"], SEEDS]
    if any(one in group and other in group for group in apart):
        return
    conflicts = {rule["with"] for rule in MANIFESTS[one]["conflicts"]} | {
        rule["with"] for rule in MANIFESTS[other]["conflicts"]
    }
    if not {one, other} & conflicts:
        assert not set(paths(one)) & set(paths(other))


@pytest.mark.parametrize("name", MANIFESTS)
def test_an_extension_ships_no_path_of_the_skeleton(name: str) -> None:
    skeleton = {path.relative_to(TEMPLATE).as_posix().removesuffix(".jinja") for path in texts(TEMPLATE)}
    assert not skeleton & set(paths(name))


@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_is_the_owners_whole(name: str) -> None:
    part = MANIFESTS[name]
    assert all(path.startswith(YOURS) for path in paths(name))
    assert not part["dependencies"] + part["dev-dependencies"]
    collected = set(part.get("fragments", []))  # files of another part, which has to do without the seed as well
    assert entries(name) <= FOLDER | collected, "an update would take them from code that stays"


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name not in SEEDS])
def test_what_is_no_seed_is_the_templates_whole(name: str) -> None:
    assert not [path for path in paths(name) if path.startswith(YOURS)], "an update would never open them again"


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_service_has_no_test_of_the_templates(name: str) -> None:
    shipped = {path for path in paths(name) if path.startswith("tests/") and not path.startswith("tests/features/")}
    assert shipped <= {"tests/answers.py", "tests/database.py", f"tests/options/{name}.py"}


@pytest.mark.parametrize("name", CHOICES["extensions"])
def test_a_capability_is_a_module_with_tests(name: str) -> None:
    assert f"app/extensions/{name}/__init__.py" in paths(name)
    assert list((EXTENSIONS / name / "tests").glob("test_*.py"))
    assert (REPOSITORY / "extensions" / name / "env").is_file(), "its settings group has a place in .env.example"
