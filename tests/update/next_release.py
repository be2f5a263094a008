"""Later versions of this template, as a maintainer might make them: synthetic, since none exists yet."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.releases import NEXT, git, release

NOW = NEXT
"""The working tree, as if it were released."""
LATER = "v1000.0.0"
"""The next one: it changes all that a release may change without anybody's loss."""
RENAMED = "v1001.0.0"
"""After LATER: a question has another name, and one is gone."""
TIGHTENED = "v1002.0.0"
"""After NOW: a rule for answers is stricter than what was recorded under it."""
CARELESS = "v1003.0.0"
"""After NOW: an ownership pattern reads an answer that older services do not have."""
UNKNOWN = "v1004.0.0"
"""After LATER: a question is gone and its name is not kept in the registry."""
LOSSY = "v1010.0.0"
"""After NOW: ships what plain Copier cannot update when its owner edits it."""
LOSING = "v1011.0.0"
"""After LOSSY: changes, moves and deletes just that."""

FIRST = "# Every line of daily life."
"""The Makefile's first line in LATER."""
BEACON = {
    "extension.yml": """\
title: Beacon
help: says that the service lives
cost: nothing
presets: [production]
requires: []
conflicts: []
dependencies: []
dev-dependencies: []
files:
- app/extensions/beacon/__init__.py
scripts:
- ops/beacon.sh
""",
    "docs/guide.md": "It blinks.\n",
    "env": "BEACON__COLOUR=red\n",
    "files/app/extensions/beacon/__init__.py": '"""A light."""\n',
    "files/ops/beacon.sh": "#!/bin/sh\necho blink\n",
}
GREETING = """\
greeting:
  type: str
  choices: "{{ registry.choices.greeting }}"
  default: plain
"""
SAME = "  run: check\n  with: nothing\n  if: always\n  level: low\n  retries: 1\n  wait: 5\n  quiet: true\n"


def change(path: Path, pattern: str, replacement: str | Callable[[re.Match[str]], str]) -> None:
    """Replace the first match in a text; no match is a mistake in this file."""
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE | re.DOTALL)
    assert count == 1, f"{path} has no {pattern}"
    path.write_text(text)


def write(path: Path, text: str) -> None:
    """A new file of the template, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if path.suffix == ".sh" else 0o644)


def blocks(*names: str) -> str:
    """Blocks of YAML that differ in their first line only."""
    return "".join(f"- name: {name}\n{SAME}" for name in names)


def later(root: Path) -> None:
    """Edit texts, add files, a dependency, a variable, a question and an extension; change an option and a seed."""
    skeleton = root / "template"
    for path in (skeleton / "app/main.py", skeleton / "app/core/health.py"):
        change(path, r'\A"""', '"""Later: ')
        change(path, r"\Z", '\nLATER = "a last line"\n')
    change(skeleton / "Makefile.jinja", r"\A[^\n]*", FIRST)
    change(skeleton / "Makefile.jinja", r"^\.uv/bin/uv:", "later: ## New in this version\n\t@echo later\n\n.uv/bin/uv:")
    change(skeleton / "pyproject.toml.jinja", r"(set dependencies = \[.*?)(\] %\})", r'\1, "tenacity>=9,<10"\2')
    change(skeleton / "pyproject.toml.jinja", r"(set development = \[.*?)(\] %\})", r'\1, "freezegun>=1,<2"\2')
    change(skeleton / ".gitignore.jinja", r"^__pycache__/", "later-cache/\n__pycache__/")
    change(skeleton / ".env.example.jinja", r"^(SERVICE__ENVIRONMENT=.*?)$", r"\1\n# New\nSERVICE__LATER=1")
    write(skeleton / "docs/later.md.jinja", "# Later\n\nThis service says {{ greeting }} words.\n")
    write(skeleton / "docs/warm.md", "Welcome.\n")
    write(skeleton / "app/core/later.py", '"""What came later."""\n')
    for name in ("CHANGELOG.md", "README.md.jinja", "LICENSE.jinja"):
        change(skeleton / name, r"\Z", "\nA seed that changed.\n")
    for path in sorted(root.glob("extensions/*/files/**/*.py")):
        change(path, r"\A", "# later\n")
    for path in sorted(root.glob("extensions/*/docs/guide.md")):
        change(path, r"\Z", "\nMore to say.\n")
    for path in sorted(root.glob("extensions/*/env")):
        change(path, r"\A", "# Later\n")
    for name, text in BEACON.items():
        write(root / "extensions/beacon" / name, text)
    questions = root / "copier.yml"
    change(questions, r"^(      extensions:[^\n]*\n)", r"\1        - beacon\n")
    change(questions, r"^      sample: \[", "      greeting: [plain, warm]\n      sample: [")
    change(questions, r"^    names: \[", "    names: [greeting, ")
    change(questions, r"^sample:", f"{GREETING}sample:")
    pattern = '{% if (greeting | default("plain")) == "plain" %}/docs/warm.md{% endif %}'
    change(questions, r"^_exclude:\n", f"_exclude:\n  - '{pattern}'\n")


def renamed(root: Path) -> None:
    """`author_email` becomes `contact`, which reads the old name; `greeting` is gone, and its name stays listed."""
    questions = root / "copier.yml"
    text = questions.read_text()
    names = re.findall(r"^    names: \[.*?\]", text, re.MULTILINE | re.DOTALL)[0]
    text = text.replace(names, "NAMES").replace("author_email", "contact").replace("NAMES", names)
    questions.write_text(text)
    change(questions, r"^    names: \[", "    names: [contact, ")
    change(questions, r'^(contact:.*?default: )""', r"""\1'{{ author_email | default("") }}'""")
    for path in [
        path for folder in ("template", "extensions") for path in (root / folder).rglob("*") if path.is_file()
    ]:
        if "author_email" in (text := path.read_text()):
            path.write_text(text.replace("author_email", "contact"))
    forget_greeting(root)


def forget_greeting(root: Path) -> None:
    """Take the question out, and leave its name in the registry."""
    questions = root / "copier.yml"
    change(questions, r"^greeting:.*?(?=^sample:)", "")
    change(questions, r"^      greeting: \[[^\n]*\n", "")
    change(questions, r"^  - '\{% if \(greeting[^\n]*\n", "")
    write(root / "template/docs/later.md.jinja", "# Later\n")


def unknown(root: Path) -> None:
    """Forget even the name."""
    forget_greeting(root)
    change(root / "copier.yml", r"^    names: \[greeting, ", "    names: [")


def tightened(root: Path) -> None:
    """Names of at most five letters, by a validator of the usual kind and by the guard."""
    change(
        root / "copier.yml", r"(      project_name: \[')[^\n]*", r"""\1^[A-Za-z]{1,5}\\Z', "five letters at most"]"""
    )


def careless(root: Path) -> None:
    """The pattern that LATER guards, unguarded."""
    later(root)
    change(root / "copier.yml", r'\(greeting \| default\("plain"\)\)', "greeting")


def lossy(root: Path) -> None:
    """Ship a binary, a git-ignored file, repeated blocks of YAML and two pages."""
    skeleton = root / "template"
    write(skeleton / "docs/moved.md", "# A page\n\nIts text.\n")
    write(skeleton / "docs/deleted.md", "# Another page\n\nIts text.\n")
    write(skeleton / "docs/blocks.yaml", blocks("one", "two", "three", "four"))
    write(skeleton / "var/ignored.cfg", "level = low\n")
    (skeleton / "docs/logo.bin").write_bytes(bytes(range(256)))


def losing(root: Path) -> None:
    """Move, delete and change them."""
    skeleton = root / "template"
    (skeleton / "docs/moved.md").rename(skeleton / "docs/elsewhere.md")
    (skeleton / "docs/deleted.md").unlink()
    write(skeleton / "docs/blocks.yaml", blocks("new", "newer", "one", "two", "three", "four"))
    write(skeleton / "var/ignored.cfg", "level = low\ncolour = red\n")
    (skeleton / "docs/logo.bin").write_bytes(bytes(reversed(range(256))))


VERSIONS: dict[str, tuple[str, Callable[[Path], None]]] = {
    LATER: (NOW, later),
    RENAMED: (LATER, renamed),
    TIGHTENED: (NOW, tightened),
    CARELESS: (NOW, careless),
    UNKNOWN: (LATER, unknown),
    LOSSY: (NOW, lossy),
    LOSING: (LOSSY, losing),
}


def with_later_versions(target: Path) -> Path:
    """Add every later version to a clone that has NOW, and leave the clone at NOW."""
    for version, (base, edit) in VERSIONS.items():
        git(target, "checkout", "--quiet", "--detach", base)
        edit(target)
        release(target, version)
    git(target, "checkout", "--quiet", "--detach", NOW)
    return target
