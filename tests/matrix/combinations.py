"""Which services are rendered: computed from copier.yml and the manifests, so a new option needs no line here."""

from collections import OrderedDict
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


def possible(answers: Answers) -> bool:
    """Whether the manifests' own rules allow these answers."""
    ticked = [answers.get("database", "sqlite"), *answers.get("extensions", []), answers.get("ci", "none")]
    for name in ticked:
        part = MANIFESTS.get(name, {"requires": [], "conflicts": []})
        if any(not set(rule["any"]) & set(ticked) for rule in part["requires"]):
            return False
        if any(rule["with"] in ticked for rule in part["conflicts"]):
            return False
    return True


def values() -> OrderedDict[str, list[Any]]:
    """Every value that each question is rendered with."""
    listed: OrderedDict[str, list[Any]] = OrderedDict()
    for name in ASKED:
        if name == "extensions":
            every = CHOICES["extensions"]
            listed[name] = [[], *([one] for one in every), *([list(every)] if len(every) > 1 else [])]
        elif name in CHOICES:
            listed[name] = CHOICES[name]
        elif name in TEXTS:
            listed[name] = TEXTS[name]
    return listed


def pairwise() -> list[Answers]:
    """Every two values of every two questions, together in at least one service."""
    table = values()

    def allowed(row: list[Any]) -> bool:
        return possible(dict(zip(table, row, strict=False)))

    rows = [dict(zip(table, row, strict=True)) for row in AllPairs(table.values(), filter_func=allowed)]
    usual = {name: found[0] for name, found in table.items()}
    for one, other in combinations(table, 2):  # with a filter, it leaves some out
        for first, second in product(table[one], table[other]):
            row = usual | {one: first, other: second}
            if possible(row) and not any(found[one] == first and found[other] == second for found in rows):
                rows.append(row)
    return rows


def presets() -> list[Answers]:
    """Each preset on each database, with the defaults that it sets."""
    return [{"preset": preset, "database": base} for preset in CHOICES["preset"] for base in CHOICES["database"]]


def extremes() -> list[Answers]:
    """Nothing and all that may stand together, with and without the sample; each extension alone. On each database."""
    rows = []
    for database in CHOICES["database"]:
        for sample in (True, False):
            every: list[str] = []
            for name in CHOICES["extensions"]:
                if possible({"database": database, "extensions": [*every, name]}):
                    every.append(name)
            alone = [[name] for name in CHOICES["extensions"]] if sample else []
            for extensions in [[], *alone, every]:
                rows.append({"database": database, "extensions": extensions, "sample": sample})
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
        answers.get("sample"),
        answers.get("response_format"),
    ]
    return "-".join(str(part) for part in shown if part is not None)
