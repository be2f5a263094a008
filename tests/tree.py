"""This repository as data, for the tests that are computed from it: questions, manifests and texts."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from copier._jinja_ext import SandboxedEnvironment, YieldExtension
from jinja2 import FileSystemLoader, StrictUndefined

from tests.manifests import REPOSITORY, manifest, names

TEMPLATE = REPOSITORY / "template"
CONFIGURATION: dict[str, Any] = yaml.safe_load((REPOSITORY / "copier.yml").read_text())
QUESTIONS: dict[str, dict[str, Any]] = {
    name: value for name, value in CONFIGURATION.items() if not name.startswith("_")
}
REGISTRY: dict[str, Any] = yaml.safe_load(QUESTIONS["registry"]["default"])
CHOICES: dict[str, list[Any]] = REGISTRY["choices"]
ASKED = [name for name, question in QUESTIONS.items() if question.get("when") is not False]
COMPUTED = [name for name in QUESTIONS if name not in ASKED]
MANIFESTS: dict[str, dict[str, Any]] = {name: dict(manifest(name)) for name in names()}
SEEDS = [name for name, part in MANIFESTS.items() if part.get("seed")]
PAGES = [name for name, part in MANIFESTS.items() if name not in SEEDS and part.get("page", True)]
"""The options with a page of their own, `docs/options/NAME.md`."""


def required(*, development: bool = True) -> list[str]:
    """The libraries that the skeleton itself asks for, or what is deployed of them."""
    lists = re.findall(r"{% set \w+ = (\[\".*?\"\]) %}", (TEMPLATE / "pyproject.toml.jinja").read_text())
    assert len(lists) == 2, "the two lists of dependencies are expected on top of template/pyproject.toml.jinja"
    return [entry for text in lists[: 1 + development] for entry in tomllib.loads(f"list = {text}")["list"]]


def texts(root: Path) -> list[Path]:
    """Every file below `root` that git would track, oldest name first."""
    return sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def environment() -> SandboxedEnvironment:
    """Copier's own Jinja, with this template's options."""
    options = {**CONFIGURATION["_envops"], "undefined": StrictUndefined}
    extensions = ["jinja2_ansible_filters.AnsibleCoreFiltersExtension", YieldExtension]
    return SandboxedEnvironment(loader=FileSystemLoader(REPOSITORY), extensions=extensions, **options)


def parts(answers: dict[str, Any]) -> list[str]:
    """The extensions behind a service's answers, as copier.yml's `parts` has them."""
    chosen = [
        answers["database"],
        *answers["extensions"],
        *answers["delivery"],
        answers["ci"],
        answers["response_format"],
    ]
    chosen.append("orders" if answers["sample"] else "no_sample")
    return [name for name in MANIFESTS if name in chosen]


def words(name: str) -> list[str]:
    """Return the words that a service without this extension never has: name and title, or those of its manifest."""
    part = MANIFESTS[name]
    listed: list[str] = part.get("words", [name, part["title"].lower()])
    return sorted(set(listed))
