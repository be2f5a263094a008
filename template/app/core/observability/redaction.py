"""Redaction: no log has the secrets in fields, headers, query strings, URLs and tracebacks."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

HIDDEN = "[redacted]"

_WORDS = (
    "pass(?:word|wd|phrase)?|pwd|secret|token|authorization|cookie|credential|dsn|signature"
    "|(?:api|access|private)[_-]?key"
)
_NAME = re.compile(rf"(?:^|[_.\-])(?:[a-z0-9]*?)(?:{_WORDS})", re.IGNORECASE)
_COUNTS = re.compile(r"(?:^|_)(?:prompt|completion|total|max)?_?tokens$", re.IGNORECASE)
_PATTERNS = (
    # The password of a URL, between the name and the host
    r"(\b[a-z][a-z0-9+.\-]{0,20}://[^\s:/@]{0,100}:)[^\s/@]{1,500}(?=@)",
    # Cookie: a=b; c=d and Authorization: Digest a="b", c="d": the whole line
    r"(\b(?:authorization|(?:set-)?cookie)\s*:\s*)[^\r\n]+",
    # Bearer abc, Basic abc
    r"(\b(?:bearer|basic)\s+)[\w.~+/=\-]{6,}",
    # A pydantic error repeats the value, and one of FastAPI about an answer repeats it whole
    r"(\binput_value=)[^\r\n]{1,1000}(?=, input_type=)",
    r"(\{'type': '\w{1,60}', 'loc': [^\r\n]{1,1000}?, 'input': )[^\r\n]+",
    # ?token=abc, "api_key": "abc", and a value in quotes with spaces in it
    rf"((?:{_WORDS})[\w\-]{{0,40}}[\"']?\s*[=:]\s*)(?!\[redacted\])"
    r"(?:b?\"(?:[^\"\\]|\\.)*\"|b?'(?:[^'\\]|\\.)*'|[^\s&\"',;)}]+)",
)
"""Texts with a secret, behind a group that is kept. Each repetition has a bound: a line of 5,000 letters took 11 s."""
_TEXT = [re.compile(pattern, re.IGNORECASE) for pattern in _PATTERNS]


LONGEST_PATH = 500
"""Characters of a path that are logged."""


class Scrubbed(str):
    """A text without secrets: it is logged as it is."""


def secret_name(name: str) -> bool:
    """Return whether a field, header or parameter of this name holds a secret. Counts of tokens do not."""
    name = name[:100]
    return _NAME.search(name) is not None and _COUNTS.search(name) is None


def scrub(text: str) -> str:
    """Return a text without passwords in URLs, bearer tokens and `name=value` secrets."""
    for pattern in _TEXT:
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def loggable_path(path: str) -> str:
    """Return the path of a request without secrets such as `/reset/token=abc`, and cut off if it is long."""
    if len(path) > LONGEST_PATH:
        path = f"{path[:LONGEST_PATH]}..."
    return scrub(path) if "=" in path or ":" in path or " " in path else path


def redact(value: Any, name: str = "") -> Any:
    """Return a value without secrets, at every depth: by name, and in its texts."""
    if name and secret_name(name):
        return HIDDEN
    if isinstance(value, Scrubbed):
        return value
    if isinstance(value, str):
        return scrub(value) if len(value) > 5 else value
    if value is None or isinstance(value, int | float | datetime):
        return value
    if isinstance(value, Mapping):
        return {key: redact(inner, _text(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = list(value)
        if len(items) == 2 and isinstance(items[0], str | bytes):  # a header, a parameter
            return [redact(items[0]), redact(items[1], _text(items[0]))]
        return [redact(inner) for inner in items]
    return scrub(_text(value))  # the writer would take its fields or its repr as they are


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
