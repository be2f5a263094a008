"""The pipelines of a rendered service as data: its files, its jobs, and what each of them runs."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.validators import validator_for

from tests.tree import CHOICES

EVERYTHING: dict[str, Any] = {"extensions": [], "delivery": CHOICES["delivery"], "database": "sqlite"}
"""Every target, on the least that there is."""
PROVIDERS = [one for one in CHOICES["ci"] if one != "none"]
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci", "renovate.json": "vendor.renovate"}
KEYWORDS = {"include", "stages", "workflow", "default", "variables"}
"""The keys of GitLab's files that are not jobs."""


class Loader(yaml.SafeLoader):
    """YAML 1.2, where `on` is a word."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or letter in "tTfF"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def files(root: Path) -> list[Path]:
    """Every file of a pipeline, and Renovate's configuration."""
    found = [*root.glob(".github/workflows/*.yml"), *root.glob(".gitlab-ci.yml"), *root.glob(".gitlab/*.yml")]
    return sorted([*found, *root.glob("renovate.json")])


def load(path: Path) -> dict[str, Any]:
    """A file as data."""
    loaded: dict[str, Any] = yaml.load(path.read_text(), Loader)  # noqa: S506  # a safe one
    return loaded


@cache
def _validator(name: str) -> Any:
    schema = get_builtin_schema(name)
    return validator_for(schema)(schema)


def faults(path: Path) -> list[str]:
    """Return the errors that the schema of such files finds."""
    kind = path.name if path.name in SCHEMAS else "github" if ".github" in path.parts else "gitlab"
    return [error.message[:300] for error in _validator(SCHEMAS[kind]).iter_errors(load(path))]


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a file."""
    data = load(path)
    if ".github" in path.parts:
        return dict(data["jobs"])
    return {name: job for name, job in data.items() if name not in KEYWORDS}


def steps(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step of every workflow of GitHub's, with the job that it belongs to."""
    for path in root.glob(".github/workflows/*.yml"):
        for name, job in jobs(path).items():
            for step in job.get("steps", []):
                yield f"{path.stem}.{name}", step


def commands(root: Path) -> set[str]:
    """Whatever any job runs."""
    found = {step["run"] for _, step in steps(root) if "run" in step}
    for path in files(root):
        if path.name == ".gitlab-ci.yml" or path.parent.name == ".gitlab":
            for job in jobs(path).values():
                for key in ("before_script", "script", "after_script"):
                    found |= set(job.get(key, []))
    return {command.strip() for command in found}
