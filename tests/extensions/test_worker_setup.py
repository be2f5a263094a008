"""Services without a queue, refused with a reason, and the page about jobs, followed word by word."""

from pathlib import Path

import pytest
from copier.errors import UserMessageError

from tests.docs.markdown import blocks, write
from tests.extensions.worker_service import SERVERS
from tests.live.conftest import Make
from tests.render import render


def test_the_guides_jobs_run_in_the_slice_of_the_page_about_extending(rendered: Make) -> None:
    service = rendered(copy=True, extensions=SERVERS["postgres"], sample=False, database="postgres")
    pages = [(service.root / "docs" / name).read_text() for name in ("extending.md", "options/worker.md")]
    for block in [block for page in pages for block in blocks(page) if block.path]:
        write(service.root, block)
    (enqueue,) = [block.content for block in blocks(pages[1]) if block.content.startswith("await jobs.enqueue(")]
    router = service.root / "app" / "features" / "notes" / "router.py"
    text = router.read_text()
    for before, after in (
        ("        emit_once_committed(", f"        {enqueue}        emit_once_committed("),
        ("database: DatabaseDep) -> NoteOutput:", "database: DatabaseDep, jobs: JobsDep) -> NoteOutput:"),
        (
            "from app.features.notes.models",
            "from app.features.notes.jobs import index_note\nfrom app.features.notes.models",
        ),
        ("from app.features.notes.jobs", "from app.extensions.worker import JobsDep\nfrom app.features.notes.jobs"),
    ):
        assert before in text
        text = text.replace(before, after, 1)
    router.write_text(text)
    assert service.run("alembic", "revision", "--autogenerate", "-m", "add notes").returncode == 0
    for command in (
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy", "app/features", "tests/features"],
        ["pytest", "-q", "tests/features"],
    ):
        done = service.run(*command, timeout=300)
        assert done.returncode == 0, done.stdout


def test_a_worker_that_has_no_queue_says_so(rendered: Make) -> None:
    service = rendered(extensions=SERVERS["sqlite"], sample=False)
    done = service.run("app", "worker")
    assert done.returncode == 2
    assert "WORKER__URL: is required" in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stdout


def test_sqlite_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(
        UserMessageError, match="worker needs postgres or redis: jobs wait in a database server or Redis"
    ):
        render(tmp_path / "service", {"database": "sqlite", "extensions": ["worker"]})
