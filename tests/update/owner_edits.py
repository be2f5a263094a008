"""Two owners: one edits all that is theirs to edit, the other deletes all that is theirs to delete."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.update.next_release import change

BELOW = "stand below this line"
MINE: dict[str, str] = {
    "app/features/billing/__init__.py": '"""Invoices."""\n',
    "app/features/billing/settings.py": '"""Settings."""\n\nCURRENCY = "EUR"\n',
    "app/features/ping.py": '"""A slice in one file."""\n',
    "tests/features/billing/test_billing.py": '"""Tests."""\n',
    "tests/features/__init__.py": "",
    "tests/core/test_mine.py": '"""A test of mine among the template\'s."""\n',
    "migrations/versions/0002_billing.py": '"""A revision."""\n\nrevision = "0002"\ndown_revision = "0001"\n',
    "app/core/mine.py": '"""A module of mine in the template\'s folder."""\n',
    "app/extensions/prometheus/mine.py": '"""A module of mine in an extension\'s folder."""\n',
    "compose.override.yaml": "services: {app: {environment: {A: b}}}\n",
    ".github/workflows/mine.yml": "name: mine\non: push\njobs: {}\n",
    "uv.lock": "version = 1\n",
    "docs/mine.md": "# Mine\n",
    "notes/Größe und Maß.md": "Ein Satz.\n",
    "notes/no last line end.txt": "a\nb",
    "local.mk": "mine: ## My own target\n\t@echo mine\n",
    ".env": "SERVICE__SECRET=random\n",
    "var/mine.db": "rows\n",
}
"""New files, three of them git-ignored."""
ADDED: dict[str, str] = {
    "README.md": "\nA sentence of mine.\n",
    "LICENSE": "\nA clause of mine.\n",
    "CHANGELOG.md": "\n- an entry of mine\n",
    "app/features/__init__.py": "\nMINE = 1\n",
    "app/features/orders/service.py": "\nMINE = 2\n",
    "migrations/versions/0001_orders.py": "\nMINE = 3\n",
    ".gitignore": "mine/\n*.mine\n",
    ".env.example": "\n# Mine\nBILLING__CURRENCY=EUR\n",
}
"""Text for the end of files that exist, in shared files below the marker."""
DELETED = [
    "app/features/orders",
    "tests/features",
    "migrations/versions",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs/api.md",
]
"""Paths that the other owner deletes: the sample, the seeds and a template's page that the next version changes."""


def keeps(root: Path) -> None:
    """Add to everything, change the sample, and edit the template's files where it does not."""
    for name, text in MINE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name, text in ADDED.items():
        with (root / name).open("a") as file:
            file.write(text)
    (root / "app/features/billing/logo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (root / "notes/windows.txt").write_bytes(b"one\r\ntwo\r\n")
    (root / "bin").mkdir()
    (root / "bin/deploy.sh").write_text("#!/bin/sh\n")
    (root / "bin/deploy.sh").chmod(0o755)
    (root / "app/core/health.py").chmod(0o755)
    (root / "notes/link.md").symlink_to("../README.md")
    depend(root)
    change(root / "Makefile", r"pytest --cov$", "pytest --cov --exitfirst")
    change(root / "pyproject.toml", r"^fail_under = \d+$", "fail_under = 99")
    change(root / "app/main.py", r"^def create_app\(", "MINE = 4\n\n\ndef create_app(")


def depend(root: Path) -> None:
    """Add dependencies: as uv does, and by hand below the marker."""
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    for arguments in (["stripe>=12", "aiosmtplib"], ["--dev", "time-machine"]):
        command = [sys.executable, "-m", "uv", "add", "--frozen", "--quiet", "--python", sys.executable, *arguments]
        subprocess.run(command, cwd=root, check=True, capture_output=True, env=environ)
    change(root / "pyproject.toml", rf"{BELOW}[^\n]*\n", lambda found: f'{found[0]}    "by-hand>=1,<2",\n')


def leaves(root: Path) -> None:
    """Delete all that may be deleted, and the list of features that the service needs."""
    for name in [*DELETED, "app/features/__init__.py"]:
        if (root / name).is_dir():
            shutil.rmtree(root / name)
        elif (root / name).exists():
            (root / name).unlink()
