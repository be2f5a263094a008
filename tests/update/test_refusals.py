"""Updates that are refused: one line that names the value, a status that is not 0, and a service as it was."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.releases import git
from tests.update.conftest import Made
from tests.update.next_release import CARELESS, LATER, NOW, TIGHTENED, change
from tests.update.services import commit, copier, copier_process, different, files

Run = Callable[..., subprocess.CompletedProcess[str]]
REFUSED: dict[str, tuple[list[str], list[str]]] = {
    "unknown question": (["redsi=true"], ["unknown question redsi", "choose from"]),
    "misspelt question": (["databse=postgres"], ["unknown question databse", "choose from ", "project_name, "]),
    "unknown choice": (["database=mysql"], ["database", "mysql", "sqlite, postgres"]),
    "misspelt choice": (["database=postgers"], ["postgers", "choose from sqlite, postgres"]),
    "misspelt item of a list": (["extensions=[promtheus]"], ["promtheus", "choose from ", "redis, prometheus"]),
    "no list": (["extensions=prometheus"], ["extensions", "takes a list"]),
    "wrong Python": (["python_version=3.9"], ["python_version", "3.9"]),
    "wrong slug": (["project_slug=My Service"], ["project_slug", "My Service"]),
    "no name": (["project_name="], ["project_name", "the empty answer"]),
    "neither yes nor no": (["sample=perhaps"], ["sample", "perhaps", "yes, no"]),
    "two at once": (["redsi=true", "database=mysql"], ["unknown question redsi", "mysql"]),
}


@pytest.fixture
def root(service: Made) -> Iterator[Path]:
    """A service of which not one byte may change."""
    made = service()
    head, status = git(made, "rev-parse", "HEAD"), git(made, "status", "--porcelain", "--ignored")
    before = files(made)
    yield made
    assert different(files(made), before) == []
    assert git(made, "rev-parse", "HEAD") == head
    assert git(made, "status", "--porcelain", "--ignored") == status


def refused(root: Path, *arguments: str, run: Run = copier) -> str:
    """Return what the command prints when it refuses. What Copier does not catch needs `copier_process`."""
    done = run(root, "update", "--defaults", *arguments)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_data_is_refused_by_name(case: str, root: Path) -> None:
    data, said = REFUSED[case]
    message = refused(root, f"--vcs-ref={LATER}", *(part for one in data for part in ("--data", one)))
    last = message.strip().splitlines()[-1]
    assert all(words in last for words in said), message
    assert "Traceback" not in message


def test_a_recorded_answer_that_a_newer_version_no_longer_takes_is_named_and_not_dropped(root: Path) -> None:
    message = refused(root, f"--vcs-ref={TIGHTENED}")
    assert "project_name: My Service is refused, it must be five letters at most" in message


def test_a_new_ownership_pattern_that_reads_a_new_answer_is_no_half_update(root: Path) -> None:
    # Why a pattern guards what it reads: it is rendered with the answers of old services too.
    assert "greeting" in refused(root, f"--vcs-ref={CARELESS}", run=copier_process)


def test_an_unknown_version_is_refused(root: Path) -> None:
    assert "v7.7.7" in refused(root, "--vcs-ref=v7.7.7", run=copier_process)


class TestAServiceThatItsOwnerLeftSo:
    """Each starts by leaving it so, and commits that."""

    @pytest.fixture
    def left(self, service: Made) -> Path:
        """A service to break."""
        return service()

    def held(self, root: Path, *said: str, run: Run = copier) -> None:
        """The update is refused with these words, and changes nothing."""
        before = files(root)
        message = refused(root, f"--vcs-ref={LATER}", run=run)
        assert all(words in message for words in said), message
        assert different(files(root), before) == []

    def test_uncommitted(self, left: Path) -> None:
        (left / "app/main.py").write_text("mine\n")
        self.held(left, "dirty", "commit or stash")

    def test_with_an_untracked_file(self, left: Path) -> None:
        (left / "mine.txt").write_text("mine\n")
        self.held(left, "dirty")

    def test_without_git(self, left: Path) -> None:
        shutil.rmtree(left / ".git")
        self.held(left, "git-tracked")

    def test_without_answers(self, left: Path) -> None:
        (left / ".copier-answers.yml").unlink()
        commit(left)
        self.held(left, "Template not found", run=copier_process)

    def test_without_a_recorded_version(self, left: Path) -> None:
        change(left / ".copier-answers.yml", r"^_commit: [^\n]*\n", "")
        commit(left)
        self.held(left, "Cannot update")

    def test_with_a_relative_path_recorded(self, left: Path, history: Path) -> None:
        shutil.copytree(history, left.parent / "template")
        change(left / ".copier-answers.yml", r"^_src_path: [^\n]*", "_src_path: ../template")
        commit(left)
        self.held(left, "../template is a relative path", "give the absolute one, or a URL")

    def test_with_a_template_that_is_no_checkout(self, left: Path, history: Path) -> None:
        copied = shutil.copytree(history, left.parent / "template", ignore=shutil.ignore_patterns(".git"))
        change(left / ".copier-answers.yml", r"^_src_path: [^\n]*", f"_src_path: {copied}")
        commit(left)
        self.held(left, "git-tracked templates")

    def test_from_a_newer_version(self, left: Path) -> None:
        change(left / ".copier-answers.yml", r"^_commit: [^\n]*", f"_commit: {LATER}")
        commit(left)
        before = files(left)
        assert "downgrading" in refused(left, f"--vcs-ref={NOW}")
        assert different(files(left), before) == []
