"""What may never reach a log: secrets in fields, headers, query strings, URLs and tracebacks."""

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
# Every repetition has a bound: a line of 5,000 letters took 11 s without them.
_TEXT = (
    # The password of a URL, between the name and the host
    (
        re.compile(r"(?P<keep>\b[a-z][a-z0-9+.\-]{0,20}://[^\s:/@]{0,100}:)[^\s/@]{1,500}(?=@)", re.IGNORECASE),
        r"\g<keep>" + HIDDEN,
    ),
    # Cookie: a=b; c=d and Authorization: Digest a="b", c="d": the whole line
    (
        re.compile(r"(?P<keep>\b(?:authorization|(?:set-)?cookie)\s*:\s*)[^\r\n]+", re.IGNORECASE),
        r"\g<keep>" + HIDDEN,
    ),
    # Bearer abc, Basic abc
    (re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[\w.~+/=\-]{6,}", re.IGNORECASE), r"\g<keep>" + HIDDEN),
    # ?token=abc, "api_key": "abc", and what stands in quotes with spaces in it
    (
        re.compile(
            rf"(?P<keep>(?:{_WORDS})[\w\-]{{0,40}}[\"']?\s*[=:]\s*)(?!\[redacted\])"
            r"(?:b?\"(?:[^\"\\]|\\.)*\"|b?'(?:[^'\\]|\\.)*'|[^\s&\"',;)}]+)",
            re.IGNORECASE,
        ),
        r"\g<keep>" + HIDDEN,
    ),
)


class Scrubbed(str):
    """A text in which nothing is left to hide: it reaches the log as it is."""


def secret_name(name: str) -> bool:
    """Whether a field, header or parameter of this name holds a secret. Counts of tokens do not."""
    name = name[:100]
    return _NAME.search(name) is not None and _COUNTS.search(name) is None


def scrub(text: str) -> str:
    """The text without passwords in URLs, bearer tokens and `name=value` secrets."""
    for pattern, replacement in _TEXT:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any, name: str = "") -> Any:
    """The value, at every depth, without what a secret name holds and without secrets in its texts."""
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
