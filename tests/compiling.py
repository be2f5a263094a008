"""Each template is compiled once by a test run: Copier compiles all of them for every service, a third of its time."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import pytest
from jinja2 import Environment


@contextmanager
def compiled_once() -> Iterator[None]:
    """Have every Jinja environment of this process share what it compiles, whatever folder the template lies in."""
    compiling: Any = Environment.compile
    made: dict[tuple[object, ...], CodeType] = {}

    def compiled(self: Environment, source: Any, name: str | None = None, *more: Any, **others: Any) -> Any:
        # The lexer is the same object for the same syntax.
        key = (self.lexer, *sorted(self.extensions), source, name)
        if key in made:
            self.preprocess(source, name)  # where Copier's own extension forgets the path before this one
        else:
            made[key] = compiling(self, source, name, *more, **others)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compiled)
        yield
