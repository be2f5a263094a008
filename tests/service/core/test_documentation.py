"""The documentation of the service: it lists every setting, with its default and its meaning."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from app import extensions, main

ROOT = Path(__file__).parents[2]
# Tools beside the service have settings of their own. The groups of features are their owner's to document.
TOOLS = import_module("ops").SETTINGS if (ROOT / "ops" / "__init__.py").exists() else []
SETTINGS = [*main.CORE_SETTINGS, *extensions.SETTINGS, *TOOLS]
ROW = re.compile(r"^- `([A-Z_]+__[A-Z_0-9]+)` \((.*?)\): (.*)$", re.MULTILINE)
FIELDS = {f"{group.group}__{name}".upper(): field for group in SETTINGS for name, field in group.model_fields.items()}


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[str, str]]:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    return {name: (default.strip().strip("`"), meaning) for name, default, meaning in ROW.findall(text)}


def written(default: Any) -> set[str]:
    """The ways to write a default."""
    if default is PydanticUndefined:
        return {"required"}
    if default is None or default == ():
        return {"unset", "empty", ""}
    if isinstance(default, tuple):
        return {",".join(default)}
    if isinstance(default, bool):
        return {str(default).lower()}
    if isinstance(default, float):
        return {str(default), f"{default:g}"}
    return {str(default)}


def test_every_variable_is_in_the_documentation_and_no_other(rows: dict[str, tuple[str, str]]) -> None:
    assert sorted(rows) == sorted(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_variable_is_documented_with_its_default_and_its_meaning(rows: dict[str, tuple[str, str]], name: str) -> None:
    default, meaning = rows[name]
    if FIELDS[name].default_factory is None:
        assert default in written(FIELDS[name].default)
    assert meaning.strip()
    assert FIELDS[name].description


def test_the_example_names_only_variables_that_there_are() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^#? ?([A-Z_]+__[A-Z_]+)=", example, re.MULTILINE)) <= set(FIELDS)
