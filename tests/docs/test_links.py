"""Every relative link of every page leads to a file and, where it names one, to a heading of it."""

import re
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.docs.markdown import anchors, links
from tests.manifests import REPOSITORY
from tests.tree import CHOICES, texts

OWN = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for link in links(page.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (page.parent / target) if target else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", OWN, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_the_repositorys_links_lead_somewhere(page: Path) -> None:
    assert not broken(page)


NOTHING = {"extensions": [], "delivery": [], "ci": "none"}
EVERYTHING = {"extensions": CHOICES["extensions"], "delivery": CHOICES["delivery"]}


@pytest.mark.parametrize("ci", [*CHOICES["ci"], None])
@pytest.mark.parametrize("database", CHOICES["database"])
def test_a_services_links_lead_somewhere(database: str, ci: str | None, rendered: Render) -> None:
    root = rendered(database=database, **(EVERYTHING | {"ci": ci} if ci else NOTHING))
    for page in [root / "README.md", *(root / "docs").rglob("*.md")]:
        assert not broken(page), page


def test_what_a_service_says_of_its_pages_elsewhere_is_there(rendered: Render) -> None:
    root = rendered(preset="production", repository_url="https://example.com/ada/orders")
    named = 0
    for path in [path for path in texts(root) if path.suffix != ".md"]:
        for page, anchor in re.findall(r"\b(docs/(?:options/)?[\w-]+\.md)(?:#([\w-]+))?", path.read_text()):
            named += 1
            assert (root / page).exists(), f"{path}: {page}"
            assert not anchor or anchor in anchors((root / page).read_text()), f"{path}: {page}#{anchor}"
    assert named


def test_every_page_of_a_service_is_in_its_index(rendered: Render) -> None:
    docs = rendered() / "docs"
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    assert pages - {"index.md"} <= set(links((docs / "index.md").read_text()))


def test_every_decision_is_in_the_list() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    pages = sorted(page.name for page in folder.glob("0*.md"))
    assert links((folder / "README.md").read_text()) == pages
    assert [page[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
