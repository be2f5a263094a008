"""The services that are rendered: computed from copier.yml and the manifests, so a new option needs no line here."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import combinations, product
from typing import Any

import pytest
from allpairspy import AllPairs

from tests.tree import ASKED, CHOICES, MANIFESTS

Answers = dict[str, Any]

TEXTS: dict[str, list[str]] = {
    "project_name": ["My Service", "Übung & Co. (Nord) +1"],
    "description": ["", "A \"quoted\" \\ back, {{ brace }} {% x %}, # hash: 'it' <b> €"],
    "author_name": ["My Service team", "Ada O'Hara-Çelik"],
    "author_email": ["", "ada@example.com"],
    "repository_url": ["", "https://example.com/ada/orders?a=b#c"],
}
"""A plain answer and an awkward one for each question that takes a text."""


LISTS = ["extensions", "delivery"]
"""The questions that take several choices. Each choice is enabled or not, whatever the others are."""


def possible(answers: Answers, *, undecided: Iterable[str] = ()) -> bool:
    """Return whether the manifests' own rules allow these answers; what is undecided may still be enabled."""
    lists = [one for name in LISTS for one in answers.get(name, [])]
    enabled = [answers.get("database", "sqlite"), *lists, answers.get("ci", "none")]
    for name in enabled:
        part = MANIFESTS.get(name, {"requires": [], "conflicts": []})
        if any(not set(rule["any"]) & {*enabled, *undecided} for rule in part["requires"]):
            return False
        if any(rule["with"] in enabled for rule in part["conflicts"]):
            return False
    return True


def values() -> OrderedDict[str, list[Any]]:
    """Every value that each question is rendered with; a choice of a list is a question of its own: yes or no."""
    listed: OrderedDict[str, list[Any]] = OrderedDict()
    for name in ASKED:
        if name in LISTS:
            listed |= {one: [False, True] for one in CHOICES[name]}
        elif name in CHOICES:
            listed[name] = CHOICES[name]
        elif name in TEXTS:
            listed[name] = TEXTS[name]
    return listed


def answered(row: Mapping[str, Any]) -> Answers:
    """The answers of a row of `values()`."""
    lists = {name: [one for one in CHOICES[name] if row.get(one)] for name in LISTS}
    return {name: value for name, value in row.items() if name in ASKED} | lists


def allowed(row: Mapping[str, Any]) -> bool:
    """Return whether a row, of which some values may still be open, can become a service."""
    undecided = {name for name in values() if name not in row} | set(
        CHOICES["database"] if "database" not in row else []
    )
    return possible(answered(row), undecided=undecided)


def pairwise() -> list[Answers]:
    """Every two values of every two questions, together in at least one service."""
    table = values()

    def fits(row: list[Any]) -> bool:
        return allowed(dict(zip(table, row, strict=False)))

    rows = [dict(zip(table, row, strict=True)) for row in AllPairs(table.values(), filter_func=fits)]
    least = {name: found[0] for name, found in table.items()}
    most = {name: found[-1] for name, found in table.items()}
    for one, other in combinations(table, 2):  # with a filter, it leaves some out
        for first, second in product(table[one], table[other]):
            if not any(found[one] == first and found[other] == second for found in rows):
                tried = [usual | {one: first, other: second} for usual in (least, most)]
                rows += [row for row in tried if allowed(row)][:1]
    return [answered(row) for row in rows]


def presets() -> list[Answers]:
    """Each preset on each database, with the defaults that it sets."""
    return [{"preset": preset, "database": base} for preset in CHOICES["preset"] for base in CHOICES["database"]]


def extremes() -> list[Answers]:
    """Nothing and all that may stand together, with and without the sample; each extension alone. On each database."""
    rows: list[Answers] = []
    for database in CHOICES["database"]:
        none: Answers = {"database": database, **{name: [] for name in LISTS}}
        single = [(name, one) for name in LISTS for one in CHOICES[name]]
        every = none
        for name, one in single:
            if possible(more := every | {name: [*every[name], one]}):
                every = more
        rows += [row | {"sample": sample} for row in (none, every) for sample in (True, False)]
        rows += [none | {name: [one], "sample": True} for name, one in single]
    return [row for row in rows if possible(row)]


def every() -> list[Answers]:
    """All of them, each once."""
    unique = {repr(sorted(row.items())): row for row in [*presets(), *extremes(), *pairwise()]}
    return list(unique.values())


def grouped() -> list[Any]:
    """All of them as parameters. The tests of each run in one process, which renders it once."""
    return [pytest.param(row, id=label(row), marks=pytest.mark.xdist_group(label(row))) for row in every()]


def label(answers: Answers) -> str:
    """A short name for a test's id."""
    shown = [
        answers.get("preset"),
        answers.get("database"),
        *answers.get("extensions", ["default"]),
        *answers.get("delivery", []),
        answers.get("sample"),
        answers.get("response_format"),
    ]
    return "-".join(str(part) for part in shown if part is not None)
