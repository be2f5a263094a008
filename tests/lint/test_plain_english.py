"""The words that this repository does not use: in its prose, as names in its Python, and first in its docstrings."""

import ast
import io
import re
import subprocess
import tokenize
from functools import cache

import pytest

from tests.manifests import REPOSITORY

PROSE = {
    r"(un)?tick(s|ed|ing)?": "enable, disable, enabled",
    r"what is yours": "your files",
    r"nobody('s)?": "no one, or name the actor: caller, operator, client",
    r"somebody('s)?": "name the actor: caller, operator, client",
    r"when to come again": "`Retry-After`",
    r"sealed records?|seals (the|its) records?": "tamper-evident, signed",
    r"without rights": "non-root",
    r"at the least": "at least, minimum",
    r"in vain": "without success",
    r"at a desk": "in development",
    r"of its own accord": "automatically",
    r"(bring|brings|brought|bringing)( \w+){0,3} back": "restore",
    r"(take|takes|took|taken|taking) out": "remove",
    r"ha(s|ve) learnt": "changed since then",
    r"speaks? against": "conflicts with",
    r"does that \w+ not answer": "if it does not answer",
    r"for whom\?": "missing `name=`",
    r"mend(s|ed|ing)?": "fix",
    r"(stand|stands|stood) (in|at|below|above|before|behind|beside|there|here|outside)": "is",
    r"lies? (in|below|beside|there|where)": "is",
    r"what do answers look like|under which mail address|so long a load balancer": "the standard term",
}
"""Each pattern with what to write instead. Words of the technical kind need their neighbours: a promise may stand."""
NAMES = {
    "Seldom": "Throttle",
    "Outage": "OutageGuard",
    "Away": "BackendUnavailable",
    "Outer": "RequestMiddleware",
    "Exchange": "ResponseWriter",
    "Pipe": "StdoutHandler",
    "Gate": "ConnectionLimiter",
    "Clock": "DeadlineTimer",
    "Fault": "DatabaseFault",
    "Distrust": "RejectAllVerifier",
    "Course": "Call",
    "Owners": "CredentialCache",
    "patiently": "dequeue_with_backoff",
    "stretch": "cursor_page",
    "narrowed": "filtered",
    "household": "worker_service",
    "Household": "WorkerService",
    "stand_ins": "fake_images",
    "counterpart": "fake_upstream",
    "Counterpart": "FakeUpstream",
}
"""Names that were changed, with their present ones."""
MACROS = {"described": "load_manifests", "laid": "file_list", "offer": "choices_for", "needed": "ci_services"}
"""Names of macros that were changed, which are ordinary words elsewhere."""
MARKER = re.compile(r"(Yours )?stand below this line[^\n]*|\bUSER nobody|\bnobody:nogroup|\"nobody\"")
"""The line above the owner's lines, of which a change is a conflict for every owner; and the user of that name."""
QUESTION = re.compile(r"\s*(What|Whether|Who|Whose|Which|Where|When|Why|How)\b")
"""The words that no docstring starts with: it starts with a verb, as in "Return the rows", or with a noun phrase."""
EXEMPT = {"tests/lint/test_plain_english.py", "uv.lock", "licenses/Apache-2.0", "licenses/MIT", "licenses/proprietary"}


@cache
def listed() -> list[str]:
    """Return the files of the repository."""
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({name for name in names if name and (REPOSITORY / name).is_file()})


def text_of(name: str) -> str:
    """Return a file's text without what is exempt: the marker lines, and the sections of releases before 0.4.0."""
    text = (REPOSITORY / name).read_text(encoding="utf-8", errors="replace")
    if name == "CHANGELOG.md":
        text = re.split(r"^## \[?0\.3\.", text, maxsplit=1, flags=re.MULTILINE)[0]
    return MARKER.sub("", text)


def prose(text: str) -> list[str]:
    """Return the words of the list in a text, with what to write instead."""
    joined = re.sub(r"\s+", " ", text)
    return [
        f"{found[0]} -> {better}"
        for pattern, better in PROSE.items()
        for found in re.finditer(rf"\b(?:{pattern})(?!\w)", joined, re.IGNORECASE)
    ]


def names(text: str) -> list[str]:
    """Return the old names in a Python text, with the present ones."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    used = [token.string for token in tokens if token.type == tokenize.NAME]
    return [f"{name} -> {NAMES[name]}" for name in used if name in NAMES]


def questions(text: str) -> list[str]:
    """Return the docstrings of a Python text, and the strings below its constants, that start with a question word."""
    bare = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
    strings = [(node.lineno, node.value) for node in bare if isinstance(node, ast.Constant)]
    return [f"line {line}: {string}" for line, string in strings if isinstance(string, str) and QUESTION.match(string)]


def macros(text: str) -> list[str]:
    """Return the old names of macros in a Jinja text, with the present ones."""
    return [f"{name} -> {MACROS[name]}" for name in re.findall(r"\b(\w+)\(", text) if name in MACROS]


def found(name: str) -> list[str]:
    """Return all that is to be changed in a file."""
    text = text_of(name)
    used = prose(f"{name}\n{text}")
    if name.endswith(".py"):
        used += names((REPOSITORY / name).read_text(encoding="utf-8"))
    elif name == "copier.yml" or name.endswith(".jinja"):
        used += macros(text)
    return used


def test_the_words_of_the_list_are_found() -> None:
    assert prose("Untick what nobody needs, and mend the rest.") == [
        "Untick -> enable, disable, enabled",
        "nobody -> no one, or name the actor: caller, operator, client",
        "mend -> fix",
    ]
    assert prose("It stands\nin a file, and this is recommended.") == ["stands in -> is"]
    assert macros("{{ laid(parts) }}") == ["laid -> file_list"]
    assert names("class Seldom:\n    pass  # Outage\n") == ["Seldom -> Throttle"]


def test_docstrings_that_start_with_a_question_word_are_found() -> None:
    text = '"""Whether."""\nA = "What"\n"""Howto, and what."""\nclass B:\n    c = 1\n    r"""\n    How often."""\n'
    assert questions(text) == ["line 1: Whether.", "line 6: \n    How often."]


@pytest.mark.parametrize("name", [name for name in listed() if name.endswith(".py")])
def test_no_docstring_starts_with_a_question_word(name: str) -> None:
    assert not questions((REPOSITORY / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [name for name in listed() if name not in EXEMPT])
def test_a_file_is_in_plain_english(name: str) -> None:
    assert not found(name)
