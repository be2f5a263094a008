"""The entry of `python -m ops`, and of `uv run ops`, which runs this folder and finds `app` beside it."""

import sys
from pathlib import Path

if not __package__:
    # Run as a folder, Python looks for modules in here first: look in the service instead.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ops.backups.command import main

if __name__ == "__main__":
    sys.exit(main())
