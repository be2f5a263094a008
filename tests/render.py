"""Renders the working tree, uncommitted changes too: `python -m tests.render DEST question=answer...`."""

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

from copier import run_copy
from copier.errors import DirtyLocalWarning

REPOSITORY = Path(__file__).parent.parent


def render(destination: Path, data: dict[str, Any] | None = None, *, template: Path | str = REPOSITORY) -> Path:
    """A service from `template` as it stands, without trust and without a word. Returns `destination`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DirtyLocalWarning)
        run_copy(
            str(template),
            destination,
            data=data,
            vcs_ref="HEAD",
            defaults=True,
            overwrite=True,
            quiet=True,
            unsafe=False,
        )
    return destination


def main() -> int:
    """Replace DEST by a fresh service."""
    destination = Path(sys.argv[1])
    shutil.rmtree(destination, ignore_errors=True)
    render(destination, dict(argument.split("=", 1) for argument in sys.argv[2:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
