"""A copy of the template that a test may change: the way an extension is added, a release made, a rule broken."""

from pathlib import Path
from typing import Any

import yaml

from tests.releases import git, release

LAST = "        - prometheus\n"
"""The line of the registry after which a new extension's one line goes."""


def clone(template: Path, target: Path) -> Path:
    """A checkout of one's own, with its tags."""
    git(template, "clone", "--quiet", "--shared", str(template), str(target))
    return target


def add(template: Path, name: str, **manifest: Any) -> None:
    """One folder and one line: that is all an extension is."""
    settings = name.replace("_", " ").title().replace(" ", "")
    root = template / "extensions" / name
    module = root / "files" / "app" / "extensions" / name / "__init__.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        f'"""{name}, an extension for tests."""\n\n\nclass {settings}Settings:\n    """Nothing to set."""\n'
    )
    defaults: dict[str, Any] = {
        "title": name.title(),
        "help": "an extension for tests",
        "cost": "nothing",
        "presets": [],
        "requires": [],
        "conflicts": [],
        "dependencies": [],
        "dev-dependencies": [],
        "files": [f"app/extensions/{name}/__init__.py"],
        "scripts": [],
    }
    (root / "extension.yml").write_text(yaml.safe_dump({**defaults, **manifest}, sort_keys=False))
    (root / "docs").mkdir()
    (root / "docs" / "guide.md").write_text(f"{name} does nothing.\n")
    questions = template / "copier.yml"
    text = questions.read_text()
    assert LAST in text
    questions.write_text(text.replace(LAST, f"{LAST}        - {name}\n"))


def publish(template: Path, version: str) -> Path:
    """Commit and tag what was changed."""
    release(template, version)
    return template
