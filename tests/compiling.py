"""Do work once that Copier repeats for each service: clone a version, compile its templates, ask git for each file."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from copier import _template  # private: the test of this module fails where it is gone
from copier._main import Worker  # private too
from jinja2 import Environment

from tests.live.environment import alone


@contextmanager
def compiled_once() -> Iterator[None]:
    """Have every Jinja environment of this process share what it compiles, whatever the folder of the template."""
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


@contextmanager
def file_mode_asked_once() -> Iterator[None]:
    """Ask git once for each folder whether it heeds the executable bit: Copier asks per file, 30 % of an update."""
    syncing: Any = Worker._sync_git_index_executable_bit
    known: dict[Path, bool] = {}

    def sync(self: Worker, path: Path, mode: int) -> None:
        folder = self.subproject.local_abspath
        if folder not in known:
            asked = ["git", "-C", str(folder), "config", "--type=bool", "core.fileMode"]
            known[folder] = "false" in subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        if known[folder]:
            syncing(self, path, mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "_sync_git_index_executable_bit", sync)
        yield


@contextmanager
def cloned_once(folder: Path) -> Iterator[None]:
    """Keep one clone of each version in `folder`, for all processes of the run: Copier makes five for each update.

    Copier only reads its clone. The key has every reference, since Copier derives the version from the tags.
    """
    module: Any = _template
    cloning = module.clone

    def clone(url: str, ref: str, location: str) -> str:
        known = ["git", "-C", url, "show-ref", "--head"]
        references = subprocess.run(known, capture_output=True, text=True, check=False).stdout
        if ref == "HEAD" or not references:  # a draft, or no repository
            return str(cloning(url, ref, location))
        kept = folder / sha256(repr((url, ref, references)).encode()).hexdigest()[:16]
        with alone(kept):
            if not kept.exists():
                cloning(url, ref, location)
                shutil.move(location, kept)
                Path(location).mkdir()  # Copier removes it afterwards
        return str(kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "clone", clone)
        yield
