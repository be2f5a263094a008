"""The version has one source of truth: pyproject.toml, uv.lock, CHANGELOG, the list of releases and the tags agree."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from tests.manifests import REPOSITORY
from tests.releases import releases

UV = r"""astral(?:-sh)?/uv:([\w.]+)|setup-uv@\w+.*\n +with:\n +version: "(.*)"|'uv([=<>].*?)'"""
"""A version of uv: of an image, of the action that installs it, or of pip."""


def loaded(name: str) -> dict[str, Any]:
    """Return a TOML file of this repository."""
    return tomllib.loads((REPOSITORY / name).read_text())


def dated() -> list[str]:
    """Return the versions that CHANGELOG has released, newest first: a section without a date is being written."""
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    return re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)


def tags() -> list[str]:
    """Return the releases that are tagged in this clone, with or without a leading v, newest first."""
    command = ["git", "-C", str(REPOSITORY), "tag", "--merged=HEAD"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    found = [tag.removeprefix("v") for tag in listed if re.fullmatch(r"v?\d+\.\d+\.\d+", tag)]
    return sorted(found, key=lambda version: [int(number) for number in version.split(".")], reverse=True)


def test_the_project_the_lock_file_and_the_changelog_have_one_version() -> None:
    version = loaded("pyproject.toml")["project"]["version"]
    locked = [package["version"] for package in loaded("uv.lock")["package"] if package["name"] == "groundwork"]
    assert locked == [version]
    assert dated()[0] == version


def test_the_list_of_releases_is_that_of_the_changelog() -> None:
    # The commit of a release cannot name itself: until the next one, the newest version may be missing.
    listed = list(releases())[::-1]
    assert listed in (dated(), dated()[1:])


def test_the_newest_tag_is_the_newest_release() -> None:
    # A clone may lack tags, and the commit of a release is not yet tagged when it is tested.
    assert not tags() or tags()[0] in dated()[:2]
    assert set(tags()) <= set(dated())


def test_one_version_of_uv_is_named_everywhere() -> None:
    found: dict[str, list[str]] = {}
    for path in [*REPOSITORY.glob(".github/workflows/*"), REPOSITORY / "Makefile", *shipped()]:
        text = path.read_text(encoding="utf-8", errors="ignore")
        named = re.findall(
            r"astral(?:-sh)?/uv:([\w.]+)|setup-uv@\w+.*\n +with:\n +version: \"(.*)\"|'uv([=<>].*?)'", text
        )
        assert len(re.findall("setup-uv@", text)) == len([one for one in named if one[1]]), f"{path} names no version"
        for version in ("".join(one).removeprefix("==") for one in named):
            found.setdefault(version, []).append(str(path.relative_to(REPOSITORY)))
    assert len(found) == 1, found
    assert len(next(iter(found.values()))) > 8


def shipped() -> list[Path]:
    """Return every file of a service's skeleton and of its options."""
    folders = ("template", "extensions")
    return [path for folder in folders for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
