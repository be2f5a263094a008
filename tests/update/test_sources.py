"""Sources and targets of updates: a checkout without tags, a URL, Windows' line ends, a larger repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.releases import git, release
from tests.update.conftest import Made
from tests.update.next_release import LATER, NOW, later
from tests.update.services import (
    commit,
    conflicts,
    copier,
    copier_process,
    different,
    files,
    generate,
    recorded,
    the_templates,
    update,
)


def test_a_service_from_a_checkout_without_tags_takes_the_first_release(history: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    git(tmp_path, "clone", "--quiet", "--no-tags", str(history), str(checkout))
    root = generate(checkout, tmp_path / "service", "HEAD", {})
    assert git(checkout, "rev-parse", "HEAD").startswith(
        (root / ".copier-answers.yml").read_text().split("_commit: ")[1].split("\n")[0].strip("'\"")
    )
    later(checkout)
    release(checkout, "v0.1.0")
    update(root, "v0.1.0")
    assert conflicts(root) == []
    assert (root / "docs/later.md").exists()
    expected = generate(checkout, tmp_path / "expected", "v0.1.0", recorded(root))
    assert different(the_templates(root), the_templates(expected)) == []


def test_a_service_from_a_url_is_updated_by_the_plain_command(history: Path, tmp_path: Path) -> None:
    bare = tmp_path / "groundwork.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(history), str(bare))
    url = f"git+{bare.as_uri()}"
    done = copier(tmp_path, "copy", "--defaults", f"--vcs-ref={NOW}", url, "service")
    assert done.returncode == 0, done.stderr
    root = tmp_path / "service"
    git(root, "init", "--quiet")
    commit(root)
    done = copier(root, "update", "--defaults", f"--vcs-ref={LATER}")
    assert done.returncode == 0, done.stderr
    assert f"_commit: {LATER}" in (root / ".copier-answers.yml").read_text()
    assert conflicts(root) == []


def test_without_a_version_the_newest_one_is_taken(service: Made, history: Path) -> None:
    root = service()
    tags = git(history, "tag", "--list", "v1*", "--sort=-version:refname").split()
    done = copier(root, "update", "--defaults")
    assert done.returncode == 0, done.stderr
    assert f"_commit: {tags[0]}" in (root / ".copier-answers.yml").read_text()


def test_line_ends_stay_lf_where_git_turns_them_into_windows_own(history: Path, tmp_path: Path, fresh: Made) -> None:
    configuration = tmp_path / "gitconfig"
    configuration.write_text("[core]\n\tautocrlf = true\n[user]\n\tname = tests\n\temail = tests@localhost\n")
    root = tmp_path / "service"
    environ = os.environ | {"GIT_CONFIG_GLOBAL": str(configuration)}

    def run(*command: str, cwd: Path = tmp_path) -> None:
        done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    run(sys.executable, "-m", "copier", "copy", "--defaults", "--quiet", f"--vcs-ref={NOW}", str(history), "service")
    assert different(files(root), files(fresh())) == []
    run("git", "init", "--quiet", cwd=root)
    run("git", "add", "--all", cwd=root)
    run("git", "commit", "--quiet", "--message=start", cwd=root)
    run(sys.executable, "-m", "copier", "update", "--defaults", "--quiet", f"--vcs-ref={LATER}", cwd=root)
    assert conflicts(root) == []
    assert different(the_templates(root), the_templates(fresh(LATER, **recorded(fresh())))) == []


def test_a_machine_without_a_name_for_git_can_update(service: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    root = service()
    done = copier_process(root, "update", "--defaults", f"--vcs-ref={LATER}")
    assert done.returncode == 0, done.stderr
    assert (root / "docs/later.md").exists()


def test_a_service_in_a_folder_of_a_larger_repository_is_updated_there(fresh: Made, tmp_path: Path) -> None:
    root = tmp_path / "repository/services/orders"
    shutil.copytree(fresh(), root, ignore=shutil.ignore_patterns(".git"))
    (tmp_path / "repository/README.md").write_text("mine\n")
    (root / "app/features/mine.py").write_text("mine\n")
    git(tmp_path / "repository", "init", "--quiet")
    commit(tmp_path / "repository")
    update(root)
    assert (tmp_path / "repository/README.md").read_text() == "mine\n"
    assert (root / "app/features/mine.py").read_text() == "mine\n"
    assert different(the_templates(root), the_templates(fresh(LATER, **recorded(fresh())))) == []
