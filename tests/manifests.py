"""Keeps each extension's lists of files: `python -m tests.manifests` rewrites `files` and `scripts`."""

import re
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parent.parent
EXTENSIONS = REPOSITORY / "extensions"


def names() -> list[str]:
    """Every extension, by its folder."""
    return sorted(path.parent.name for path in EXTENSIONS.glob("*/extension.yml"))


def manifest(name: str) -> dict[str, list[str]]:
    """What an extension says about itself."""
    loaded: dict[str, list[str]] = yaml.safe_load((EXTENSIONS / name / "extension.yml").read_text())
    return loaded


def shipped(name: str) -> dict[str, list[str]]:
    """What lies in an extension's folder: `files`, and `scripts` for those that may be executed."""
    root = EXTENSIONS / name / "files"
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and not set(path.parts) & {"__pycache__"}]
    executable = [path for path in paths if path.stat().st_mode & 0o100]
    return {
        "files": [path.relative_to(root).as_posix() for path in paths if path not in executable],
        "scripts": [path.relative_to(root).as_posix() for path in executable],
    }


def rewritten(name: str) -> str:
    """The manifest's text with its two lists as the folder has them."""
    text = (EXTENSIONS / name / "extension.yml").read_text()
    for key, paths in shipped(name).items():
        block = f"{key}:\n" + "".join(f"- {path}\n" for path in sorted(paths)) if paths else f"{key}: []\n"
        text = re.sub(rf"^{key}:.*\n(?:[ -].*\n)*", block, text, flags=re.MULTILINE)
    return text


def main() -> int:
    """Rewrite what differs, and say so."""
    for name in names():
        path = EXTENSIONS / name / "extension.yml"
        if (text := rewritten(name)) != path.read_text():
            path.write_text(text)
            sys.stdout.write(f"rewrote extensions/{name}/extension.yml\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
