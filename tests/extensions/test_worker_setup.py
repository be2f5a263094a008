"""Services without a queue, refused with a reason, and the page about jobs, followed word by word."""

from pathlib import Path

import pytest
from copier.errors import UserMessageError

from tests.docs.markdown import blocks, write
from tests.extensions.worker_service import SERVERS
from tests.live.conftest import Make
from tests.render import render

TEST = """from httpx2 import AsyncClient

from app.features.notes.jobs import index_note
from tests.options.worker import RunJobs


async def test_a_note_is_indexed(client: AsyncClient, run_jobs: RunJobs) -> None:
    await client.post("/api/v1/notes", json={"text": "buy milk"})
    assert await run_jobs() == [index_note.later(note_id=1)]
"""


def test_the_guides_jobs_run_in_the_slice_of_the_page_about_extending(rendered: Make) -> None:
    service = rendered(copy=True, extensions=SERVERS["postgres"], sample=False, database="postgres")
    page = (service.root / "docs/options/worker.md").read_text()
    (job,) = [block for block in blocks(page) if block.path]
    (enqueue,) = [block.content for block in blocks(page) if block.content.startswith("await jobs.enqueue(")]
    made = service.run("dev.feature", "notes", "text:str")
    assert made.returncode == 0, made.stdout
    write(service.root, job)
    router = service.root / "app" / "features" / "notes" / "router.py"
    text = router.read_text()
    for before, after in (
        ("service.create(session, data)\n", f"service.create(session, data)\n        {enqueue}"),
        ("data: NoteInput, database: DatabaseDep,", "data: NoteInput, jobs: JobsDep, database: DatabaseDep,"),
        (
            "from app.features.notes.schemas",
            "from app.features.notes.jobs import index_note\nfrom app.features.notes.schemas",
        ),
        (
            "from app.features.notes import service",
            "from app.extensions.worker import JobsDep\nfrom app.features.notes import service",
        ),
    ):
        assert before in text
        text = text.replace(before, after, 1)
    router.write_text(text)
    assert service.run("alembic", "revision", "--autogenerate", "-m", "add notes").returncode == 0
    (service.root / "tests/features/test_jobs.py").write_text(TEST)
    for command in (
        ["ruff", "format"],
        ["ruff", "check", "--fix"],
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
