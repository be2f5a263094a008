"""The manifests: `python -m tests.manifests` writes their lists of files, and README's table of options from them."""

import re
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parent.parent
EXTENSIONS = REPOSITORY / "extensions"
README = REPOSITORY / "README.md"


def names() -> list[str]:
    """Every extension, by its folder."""
    return sorted(path.parent.name for path in EXTENSIONS.glob("*/extension.yml"))


def _text(name: str) -> str:
    return (EXTENSIONS / name / "extension.yml").read_text()


def manifest(name: str) -> dict[str, list[str]]:
    """Return the manifest of an extension."""
    loaded: dict[str, list[str]] = yaml.safe_load(_text(name))
    return loaded


def shipped(name: str) -> dict[str, list[str]]:
    """Return the contents of an extension's folder: `files`, and `scripts` for those that may be executed."""
    root = EXTENSIONS / name / "files"
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and not set(path.parts) & {"__pycache__"}]
    executable = [path for path in paths if path.stat().st_mode & 0o100]
    return {
        "files": [path.relative_to(root).as_posix() for path in paths if path not in executable],
        "scripts": [path.relative_to(root).as_posix() for path in executable],
    }


def collected(name: str) -> list[str]:
    """The fragments in an extension's folder of which another one makes files, as its manifest's `collects` says."""
    wanted = {fragment for other in names() for fragment in yaml.safe_load(_text(other)).get("collects", {})}
    return sorted(fragment for fragment in wanted if (EXTENSIONS / name / fragment).is_file())


def rewritten(name: str) -> str:
    """The manifest's text with its lists as the folder has them; `fragments` stands only where there are some."""
    text = _text(name)
    lists = shipped(name)
    if (fragments := collected(name)) or "\nfragments:" in text:
        lists["fragments"] = fragments
        text = text if "\nfragments:" in text else f"{text}fragments: []\n"
    for key, paths in lists.items():
        block = f"{key}:\n" + "".join(f"- {path}\n" for path in sorted(paths)) if paths else f"{key}: []\n"
        text = re.sub(rf"^{key}:.*\n(?:[ -].*\n)*", block, text, flags=re.MULTILINE)
    return text


def readme() -> str:
    """Return README's text with the table of options as the manifests have it."""
    questions = yaml.safe_load((REPOSITORY / "copier.yml").read_text())
    choices = yaml.safe_load(questions["registry"]["default"])["choices"]
    table = "| Question | Answer | What it adds | What it costs |\n|---|---|---|---|\n"
    for question in ("database", "extensions", "delivery", "ci", "response_format"):
        for name in choices[question]:
            if name in names():
                part = manifest(name)
                default = " (default)" if name == questions[question]["default"] else ""
                table += f"| `{question}` | `{name}`{default} | {part['help']} | {part['cost']} |\n"
    return re.sub(
        r"(?<=<!-- options: written by `make manifests` -->\n).*?(?=<!-- end)",
        lambda _: table,
        README.read_text(),
        flags=re.DOTALL,
    )


def main() -> int:
    """Rewrite what differs, and say so."""
    if (text := readme()) != README.read_text():
        README.write_text(text)
        sys.stdout.write("rewrote README.md\n")
    for name in names():
        path = EXTENSIONS / name / "extension.yml"
        if (text := rewritten(name)) != path.read_text():
            path.write_text(text)
            sys.stdout.write(f"rewrote extensions/{name}/extension.yml\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
