"""Lays the template's in-depth tests over a rendered service: `python -m tests.service.overlay SERVICE`.

There they run with the code and the libraries of the service.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.manifests import EXTENSIONS, REPOSITORY
from tests.tree import CHOICES, parts

SERVICE = REPOSITORY / "tests" / "service"
ALWAYS = ["core", "dev", "extensions"]
"""The folders of this one that each service gets, as `tests/NAME`."""
SOME = {*CHOICES["database"], *CHOICES["response_format"]}
"""A folder with one of these names is laid over its parent, in a service that has chosen it."""


def folders() -> dict[str, Path]:
    """Return each folder with tests by its place in a service, with those of options that a service may not have."""
    found = {f"tests/{name}": SERVICE / name for name in ALWAYS}
    for path in sorted(EXTENSIONS.glob("*/tests")):
        name = path.parent.name
        found["tests/ops" if name in CHOICES["delivery"] else f"tests/extensions/{name}"] = path
    return found


def files(folder: Path) -> list[Path]:
    """Return every file below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def laid_over(answers: dict[str, Any]) -> dict[str, Path]:
    """Return the tests that belong to a service with these recorded answers, by their paths there."""
    enabled = set(parts(answers))
    found = {}
    for place, folder in folders().items():
        if folder.parent == SERVICE or folder.parent.name in enabled:
            for path in files(folder):
                inside = path.relative_to(folder).parts
                if set(inside) & SOME <= enabled:
                    found["/".join([place, *(part for part in inside if part not in SOME)])] = path
    return found


def lay_over(root: Path) -> None:
    """Copy the tests of a rendered service into it. Each folder is a package: two may have files of one name."""
    for name, path in laid_over(yaml.safe_load((root / ".copier-answers.yml").read_text())).items():
        target = root / name
        assert name.endswith("/__init__.py") or not target.exists(), f"a service ships {name} itself"
        target.parent.mkdir(parents=True, exist_ok=True)
        (target.parent / "__init__.py").touch()
        shutil.copy(path, target)


if __name__ == "__main__":
    lay_over(Path(sys.argv[1]))
