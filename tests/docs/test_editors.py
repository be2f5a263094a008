"""AGENTS.md and the files of editors: what they name is there, and what they run works."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.docs.conftest import writable
from tests.docs.markdown import anchors, links
from tests.docs.serving import serving
from tests.live.service import Rendered
from tests.tree import CHOICES

LONGEST = 120
"""Lines of AGENTS.md: an agent reads all of it for each task."""
LATER = {".env", "local.mk", "app/extensions/NAME"}
"""Paths that a rendered service does not have yet."""


@pytest.fixture(params=[{"preset": "minimal"}, {"preset": "production", "database": CHOICES["database"][-1]}])
def root(request: pytest.FixtureRequest, rendered: Render) -> Path:
    """The smallest and the largest service."""
    return rendered(**request.param)


def test_the_page_for_agents_is_short_and_names_what_is_there(root: Path) -> None:
    page = (root / "AGENTS.md").read_text()
    assert len(page.splitlines()) <= LONGEST
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"`make ([a-z-]+)[^`]*`", page)
    assert {"setup", "check", "test", "feature", "migration"} <= set(commands) <= targets
    paths = {name for name in re.findall(r"`([^`\s]+)`", page) if "/" in name or "." in name}
    assert paths >= LATER
    assert [path for path in paths - LATER if not (root / path).exists()] == []
    for target, _, anchor in (link.partition("#") for link in links(page)):
        assert (root / target).exists(), target
        assert not anchor or anchor in anchors((root / target).read_text()), anchor


def test_the_debugger_serves(rendered: Render, python: Path, tmp_path: Path) -> None:
    root = writable(rendered(preset="minimal", database="sqlite"), tmp_path / "service")
    Rendered(root, python, database=f"sqlite+aiosqlite:///{root / 'service.db'}").migrate()
    launches = {
        launch["name"]: launch for launch in json.loads((root / ".vscode/launch.json").read_text())["configurations"]
    }
    serve, test = launches["Serve"], launches["Test this file"]
    arguments = [
        str(python) if argument == "${command:python.interpreterPath}" else argument for argument in serve["args"]
    ]
    command = shlex.join([str(python), "-m", serve["module"], *arguments])
    with serving(f"DATABASE__URL=sqlite+aiosqlite:///service.db exec {command}", root):
        pass
    assert (test["module"], test["args"]) == ("pytest", ["${file}"])


def test_the_editors_rules_are_those_of_the_formatter(root: Path) -> None:
    rules = (root / ".editorconfig").read_text()
    assert "root = true" in rules
    for path in [
        path for path in root.rglob("*") if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".mk"}
    ]:
        text = path.read_bytes()
        assert b"\r" not in text, path
        assert not text or text.endswith(b"\n"), path


def test_the_dev_container_runs_the_commands_of_the_readme(rendered: Render) -> None:
    root = rendered(preset="minimal", delivery=["devcontainer"], python_version="3.12")
    container = json.loads((root / ".devcontainer/devcontainer.json").read_text())
    readme = (root / "README.md").read_text()
    assert f"\n{container['postCreateCommand']} " in readme
    assert all(f"http://127.0.0.1:{port}" in readme for port in container["forwardPorts"])
    assert container["image"].endswith(":3.12-bookworm")
    recommended = json.loads((root / ".vscode/extensions.json").read_text())["recommendations"]
    assert container["customizations"]["vscode"]["extensions"] == recommended
