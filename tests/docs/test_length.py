"""The documentation of a service is short: its words in all, and a page per option in one order."""

from pathlib import Path

import pytest

from tests.conftest import Render
from tests.docs.markdown import headings
from tests.tree import CHOICES, MANIFESTS, PAGES

MOST_WORDS = 12_000
"""The words in all Markdown files of a service that enables everything which `production` suggests."""
MOST_WORDS_OF_A_PAGE = 450
ORDER = ["What it is for", "Use it", "Settings", "When it fails"]


def words(path: Path) -> int:
    """Return the words of a file, as `wc -w` counts them."""
    return len(path.read_text().split())


@pytest.mark.parametrize("database", CHOICES["database"])
def test_a_production_service_has_few_words_of_documentation(database: str, rendered: Render) -> None:
    root = rendered(preset="production", database=database)
    counted = {path.relative_to(root).as_posix(): words(path) for path in root.rglob("*.md")}
    assert sum(counted.values()) <= MOST_WORDS, sorted(counted.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("name", PAGES)
def test_an_option_has_a_page_of_its_own_in_the_usual_order(name: str, rendered: Render) -> None:
    question = next(question for question, names in CHOICES.items() if name in names)
    several = question in {"extensions", "delivery"}
    answers = {"extensions": CHOICES["extensions"], "delivery": CHOICES["delivery"], "database": "postgres"}
    page = rendered(**{**answers, question: CHOICES[question] if several else name}) / "docs" / "options" / f"{name}.md"
    assert words(page) <= MOST_WORDS_OF_A_PAGE
    title, *order = headings(page.read_text())
    assert title == MANIFESTS[name]["title"]
    assert order == ORDER


def test_a_disabled_option_has_no_page(rendered: Render) -> None:
    root = rendered(database="sqlite", extensions=[], delivery=[], ci="none", response_format="plain")
    assert {page.stem for page in (root / "docs" / "options").iterdir()} == {"sqlite"}
