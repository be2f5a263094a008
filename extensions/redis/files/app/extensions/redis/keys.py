"""Keys: the names of values, and the groups by which values are invalidated."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from hashlib import sha256
from urllib.parse import quote

from pydantic import BaseModel

_MARK = re.compile(r"<[^<>]*>")
"""A mark of the type in a key. No argument can contain one, since arguments are quoted."""
_READS_AS_ANOTHER_TYPE = re.compile(r"None|True|False|0|-?[1-9][0-9]*")
_RUNS_ON = re.compile(r"\}(?=[\w.~%-]|\{(?!\{))")
"""The end of an argument that is followed by characters that an argument may contain: it needs a mark."""


def key_for(template: str, **values: object) -> str:
    """Return the key of a value: `key_for("product:{product_id}", product_id=7)` is product:7.

    Arguments are quoted, and different arguments have different keys. Text and integers stay as they are, unless they
    look like another type: the text "7" is `<str>7`. An invalidation ignores these marks.

    Raises:
        TypeError: an argument has no text that identifies it.
    """
    return _RUNS_ON.sub("}<>", template).format(**{name: _text(value) for name, value in values.items()})


def groups(key: str, tags: Sequence[str]) -> Iterator[str]:
    """Yield the groups that invalidate an entry: all, each prefix up to a colon, the key and its tags."""
    yield prefix_group("")
    key = _unmarked(key)
    for index, letter in enumerate(key):
        if letter == ":":
            yield prefix_group(key[: index + 1])
    yield key_group(key)
    yield from map(tag_group, tags)


def key_group(key: str) -> str:
    """Return the group of one key, whatever its marks are."""
    return f"key={_unmarked(key)}"


def prefix_group(prefix: str) -> str:
    """Return the group of all keys with a prefix, which has to end with a colon."""
    if prefix and not prefix.endswith(":"):
        raise ValueError(f"a prefix ends with a colon, and {prefix!r} does not: try {prefix + ':'!r}")
    return f"prefix={_unmarked(prefix)}"


def tag_group(tag: str) -> str:
    return f"tag={_unmarked(tag)}"


def _unmarked(name: str) -> str:
    # Owners write keys by hand, f"product:{sku}", whatever the type of sku is.
    return _MARK.sub("", name)


def _text(value: object) -> str:
    """Return the part of a key for one argument, the same in every process."""
    match value:
        case None | bool():
            return str(value)
        case int() if str(value) == int.__repr__(value):
            return str(value)
        case str() if str(value) == str.__str__(value):  # an `Enum` of text has its own name
            mark = "<str>" if _READS_AS_ANOTHER_TYPE.fullmatch(value) else ""
            return mark + quote(value, safe="")
        case list() | tuple():
            parts = list(map(_text, value))
        case set() | frozenset() | dict():
            parts = sorted(map(_text, value.items() if isinstance(value, dict) else value))
        case BaseModel():  # its text leaves out secrets
            known = {name: held for name, held in vars(value).items() if name in type(value).model_fields}
            parts = [_text({**known, **(value.model_extra or {})})]
        case _ if is_dataclass(value) and not isinstance(value, type):
            parts = [_text({field.name: getattr(value, field.name) for field in fields(value)})]
        case _ if hasattr(value, "get_secret_value"):  # its text is the same for every secret
            parts = [sha256(_text(value.get_secret_value()).encode()).hexdigest()]
        case _:
            return _marked(value, _own_text(value))
    return _marked(value, "".join(f"{part}," for part in parts))


def _marked(value: object, text: str) -> str:
    return f"<{type(value).__name__}>{quote(text, safe='')}"


def _own_text(value: object) -> str:
    text = str(value)
    if " at 0x" in text:  # an address, which the next object may have too
        raise TypeError(
            f"{type(value).__name__} has no text that could be in a key: give it a `__str__` that says all that the "
            "result depends on, or name another argument"
        )
    return text
