"""The commands of a service's pages: each is run by a test, or it is known what it needs that no test has."""

import hmac
import json
import os
import re
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.docs.markdown import Block, blocks, write
from tests.docs.shown import HOSTED, TESTED
from tests.live.service import Rendered, running
from tests.manifests import REPOSITORY
from tests.tree import CHOICES

SECRET = "a-secret-of-thirty-two-bytes-or-more"  # noqa: S105  # of a service that lives for this test
EVERYTHING = [
    {"extensions": CHOICES["extensions"], "delivery": CHOICES["delivery"], "database": database, "ci": ci}
    for database, ci in zip(CHOICES["database"], CHOICES["ci"], strict=False)
]
"""Services with all that can be enabled, on each database, each with another place for its checks."""


def entered(block: Block) -> list[str]:
    """Return the lines of a block that a reader types: all of `sh`, and those after the prompt in `console`."""
    if block.language == "console":
        return [line.removeprefix("$ ") for line in block.commands if line.startswith("$ ")]
    return block.commands if block.language in {"sh", "bash", "shell"} and not block.path else []


def pages(root: Path) -> list[Path]:
    """All that a service has to read."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def shortened(command: str) -> str:
    """The command without what differs from service to service."""
    command = re.sub(r"=\[[a-z_, ]*\]", "=[...]", command)
    return re.sub(r'(python -c "import \w+, ).*"$', r'\1..."', command)


def found(root: Path) -> set[str]:
    """Every command of every page."""
    return {
        shortened(command) for page in pages(root) for block in blocks(page.read_text()) for command in entered(block)
    }


@pytest.fixture(scope="module")
def service(rendered: Render, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A service of which the guide's commands are tried, with the slice that one of them asks."""
    folder = tmp_path_factory.mktemp("commands")
    made = rendered(extensions=["api_keys", "jwt", "uploads"], database="sqlite", sample=False)
    root = Path(shutil.copytree(made, folder / "service"))
    (slice_,) = [block for block in blocks((root / "docs/options/uploads.md").read_text()) if block.path]
    write(root, slice_)
    listed = root / "app/features/__init__.py"
    text = listed.read_text().replace("    return []", "    return [documents.component()]")
    listed.write_text(
        text.replace("from app.core.settings", "from app.features import documents\nfrom app.core.settings")
    )
    (root / ".env").write_text(f"JWT__SECRET={SECRET}\nJWT__AUDIENCE=\n")
    found = Rendered(root, python, database=f"sqlite+aiosqlite:///{folder / 'service.db'}")
    found.migrate()
    return found


def enter(service: Rendered, beginning: str, folder: Path | None = None, **changed: str) -> str:
    """Run the guide's command that begins so, with the service's Python behind `uv run`; returns what it prints."""
    uv = service.root.parent / "bin" / "uv"
    uv.parent.mkdir(exist_ok=True)
    uv.write_text('#!/bin/sh\n[ "$1" != --version ] || exit 0\nshift\nexec "$@"\n')
    uv.chmod(0o755)
    page = "\n".join(path.read_text() for path in sorted((service.root / "docs/options").glob("*.md")))
    (command,) = [line for block in blocks(page) for line in entered(block) if line.startswith(beginning)]
    for old, new in changed.items():
        command = command.replace(old, new)
    environment = service.environment()
    environment["PATH"] = f"{uv.parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder or service.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_command_is_run_by_a_test_or_needs_what_no_test_has(rendered: Render) -> None:
    shown = set().union(*(found(rendered(**answers)) for answers in EVERYTHING))
    assert shown == set(TESTED) | set(HOSTED)
    assert not set(TESTED) & set(HOSTED)


@pytest.mark.parametrize("command", TESTED)
def test_the_test_that_runs_a_command_exists(command: str) -> None:
    path, _, name = TESTED[command].partition("::")
    assert re.search(rf"^(async )?def {name}\(", (REPOSITORY / "tests" / f"{path}.py").read_text(), re.MULTILINE)


def test_no_block_of_commands_hides_behind_another_language(rendered: Render) -> None:
    for answers in EVERYTHING:
        for page in pages(rendered(**answers)):
            text = page.read_text()
            for block in blocks(text):
                assert block.language in {"sh", "console", "python", "json", "text", "yaml", "ini", "sql"}, page
            assert text.count("```") == 2 * len(list(blocks(text))), f"{page}: a fence that nothing closes, or reads"


def test_a_key_is_made_as_the_guide_says(service: Rendered) -> None:
    key, line = enter(service, "make api-key").splitlines()
    assert key.startswith("ak_")
    stored = json.loads(line)
    assert (stored["client"], stored["scopes"]) == ("billing", ["notes:read", "notes:write"])


def test_a_token_for_trying_out_is_made_as_the_guide_says(service: Rendered) -> None:
    head, claims, signature = enter(service, "uv run python -c").strip().split(".")
    assert json.loads(b64decode(f"{claims}==", altchars="-_"))["sub"] == "ada"
    signed = hmac.digest(SECRET.encode(), f"{head}.{claims}".encode(), "sha256")
    assert b64decode(f"{signature}==", altchars="-_") == signed


def test_files_are_sent_as_the_guide_says(service: Rendered, tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with running(service, tmp_path / "service.log") as started:
        answer = json.loads(enter(service, "curl -F", tmp_path, **{"http://127.0.0.1:8000": started.url}))
    assert [file.get("code") for file in answer["files"]] == [None, None], answer
