"""A service finds newer versions of its template by itself, and nothing of its owner's is lost on the way."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Render
from tests.delivery.updating import BRANCH, NEW, OLD, TOKEN, Repository, improve, template
from tests.live.environment import clean, uv
from tests.releases import git

CONFLICT = "one\nmine\nthree\n"
TITLE = f"Take the template's {NEW}"
SETTINGS = {
    "apply.whitespace": "error",
    "status.showUntrackedFiles": "no",
    "core.attributesFile": "* -diff",
    "core.excludesFile": "new*",
    "core.fileMode": "false",
    "core.ignoreStat": "true",
    "core.bigFileThreshold": "1",
    "init.templateDir": "* -diff",
}
"""Settings of a user with which plain Copier drops edits or files."""
ONCE = f"nothing to do: the branch {BRANCH} is there; delete it to have it made again\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The template that the service is from."""
    return template(tmp_path / "template")


@pytest.fixture
def service(tmp_path: Path, source: Path, rendered: Render) -> Repository:
    """A service at the first version."""
    return Repository(tmp_path, source, rendered(ci="github"))


def untouched(service: Repository) -> bool:
    """Return whether nothing was made, here or in the remote."""
    trees = git(service.root, "worktree", "list").splitlines()
    return service.branches() == service.branches(remote=True) == ["main"] and len(trees) == 1


def test_the_newest_version_needs_nothing(service: Repository) -> None:
    done = service.propose()
    assert (done.returncode, done.stdout) == (0, f"nothing to do: {OLD} is the newest version of the template\n")
    assert untouched(service)
    assert not service.asked


def test_a_newer_version_becomes_a_pull_request_and_the_checkout_stays_as_it_is(
    service: Repository, source: Path
) -> None:
    subprocess.run([uv(), "lock", "--quiet", "--offline"], cwd=service.root, check=True)
    service.commit("mine.txt", "mine\n")
    (service.root / "changed.txt").write_text(CONFLICT)
    (service.root / "draft.txt").write_text("draft\n")
    improve(source, goes=True)
    done = service.propose(UV=uv(), UV_OFFLINE="1", UV_LOCKED="1")
    assert done.returncode == 0, done.stderr
    assert service.branches(remote=True) == ["main", BRANCH]
    assert service.shown("changed.txt") == "one\nTWO\nthree\n"
    assert service.shown("new.txt") == "new\n"
    assert service.shown("mine.txt") == "mine\n"
    assert 'version = "2"' in service.shown("uv.lock")
    assert f"_commit: {NEW}" in service.shown(".copier-answers.yml")
    assert service.asked[:7] == ["pr", "create", "--head", BRANCH, "--title", TITLE, "--body-file"]
    assert "--draft" not in service.asked
    assert service.body == (
        f"From {OLD} to {NEW}.\n\n## Deleted\n\n- `gone.txt`\n\n## When you update\n\n### 1.1.0\n\n"
        "Run the migrations.\n\n- With `worker` or `redis`: drain the queue\n  first.\n- Read the page.\n"
    )
    assert git(service.remote, "log", "-1", "--format=%B", BRANCH).strip() == f"{TITLE}\n\n{service.body.strip()}"
    assert git(service.root, "status", "--porcelain").splitlines() == [" M changed.txt", "?? draft.txt"]
    assert git(service.root, "branch", "--show-current").strip() == "main"
    assert len(git(service.root, "worktree", "list").splitlines()) == 1


def test_conflicts_are_listed_and_the_run_is_red_and_asks_once(service: Repository, source: Path) -> None:
    service.commit("changed.txt", CONFLICT)
    improve(source)
    done = service.propose()
    assert done.returncode == 1
    assert "--draft" in service.asked
    assert f"{TITLE}: 1 to settle" in service.asked
    conflicts = "Both sides changed these; `make check` fails until no marker is left:\n\n- `changed.txt`\n"
    assert f"## Conflicts\n\n{conflicts}" in service.body
    assert re.search(r"^<{7}.*\nmine\n={7}\nTWO\n>{7}", service.shown("changed.txt"), re.MULTILINE)
    assert git(service.remote, "show", "main:changed.txt") == CONFLICT
    git(service.remote, "branch", "--force", BRANCH, "main")  # its owner has worked on it since
    for _ in range(2):
        again = service.propose(gh=1)
        assert (again.returncode, again.stdout) == (0, ONCE)
        git(service.root, "branch", "--delete", "--force", BRANCH) if BRANCH in service.branches() else None
    assert git(service.remote, "rev-parse", BRANCH) == git(service.remote, "rev-parse", "main")


def test_an_edited_file_that_the_template_deletes_comes_back_as_the_text_says(
    service: Repository, source: Path
) -> None:
    service.commit("gone.txt", "first\nmine\n")
    improve(source, goes=True)
    assert service.propose().returncode == 1
    assert "--draft" in service.asked
    assert "gone.txt" not in git(service.remote, "ls-tree", "--name-only", BRANCH).split()
    (command,) = re.findall(r"^- `(git checkout .*)`$", service.body, re.MULTILINE)
    assert "## Deleted\n" not in service.body
    git(service.root, "checkout", "--quiet", BRANCH)
    subprocess.run(command.split(), cwd=service.root, check=True, capture_output=True)
    assert (service.root / "gone.txt").read_text() == "first\nmine\n"


def settings() -> list[Any]:
    """Return each setting, given in a file and by variables; the variables are removed whichever setting they have."""
    return [
        pytest.param(setting, value, given, marks=[pytest.mark.full] if given == "variables" and number else [])
        for given in ("globally", "variables")
        for number, (setting, value) in enumerate(SETTINGS.items())
    ]


@pytest.mark.parametrize(("setting", "value", "given"), settings())
def test_no_setting_of_git_drops_an_edit_or_a_new_file(
    setting: str, value: str, given: str, service: Repository, source: Path
) -> None:
    (service.root / "changed.txt").chmod(0o755)
    service.commit("changed.txt", "one\ntwo\nthree\nmine\n")
    service.commit("notes.md", "a blank at the end \n")
    improve(source)
    patterns = service.place / "patterns" / "info" / "attributes"
    patterns.parent.mkdir(parents=True)
    patterns.write_text(f"{value}\n")
    value = {"File": str(patterns), "eDir": str(patterns.parents[1])}.get(setting[-4:], value)
    if given == "globally":
        git(service.place, "config", "--file", str(service.place / "gitconfig"), setting, value)
        done = service.propose(GIT_CONFIG_GLOBAL=str(service.place / "gitconfig"))
    else:
        parameters = f"'{setting}={value}'"  # as `git -c` leaves them to what it starts
        done = service.propose(
            GIT_CONFIG_PARAMETERS=parameters, GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0=setting, GIT_CONFIG_VALUE_0=value
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert service.shown("changed.txt") == "one\nTWO\nthree\nmine\n"
    assert service.shown("new.txt") == "new\n"
    listed = git(service.remote, "ls-tree", BRANCH)
    assert "100755" in next(line for line in listed.splitlines() if line.endswith("changed.txt"))
    assert ".rej" not in listed


def test_a_template_that_cannot_be_reached_is_one_line(service: Repository, source: Path) -> None:
    shutil.rmtree(source)
    done = service.propose()
    assert done.returncode == 3
    assert done.stderr == (
        f"template-update: the template at {source} cannot be reached: "
        f"fatal: '{source}' does not appear to be a git repository\n"
    )
    assert untouched(service)


def test_a_template_that_refuses_the_answers_is_one_line(service: Repository, source: Path) -> None:
    (source / "copier.yml").write_text("_subdirectory: template\n_min_copier_version: '99'\n")
    improve(source)
    done = service.propose()
    assert done.returncode == 3
    assert re.fullmatch(r"template-update: the template at \S+ cannot be used: .*\n", done.stderr)
    assert untouched(service)


def test_where_no_pull_request_can_be_opened_nothing_hides_the_version(service: Repository, source: Path) -> None:
    improve(source)
    done = service.propose(gh=1)
    assert done.returncode == 1
    assert service.asked[:2] == ["pr", "create"]
    assert service.branches(remote=True) == ["main"]


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_without_a_token_one_line_says_which_one(ci: str, rendered: Render) -> None:
    environment = {name: value for name, value in clean().items() if name not in {"GH_TOKEN", "TEMPLATE_UPDATE_TOKEN"}}
    command = ["ops/propose-update.sh", "/dev/null"]
    done = subprocess.run(command, cwd=rendered(ci=ci), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"set the (secret|masked variable) TEMPLATE_UPDATE_TOKEN: .*\n", done.stderr)


def test_on_gitlab_a_job_without_a_bundle_has_nothing_to_propose(rendered: Render, tmp_path: Path) -> None:
    command = [rendered(ci="gitlab") / "ops/propose-update.sh", tmp_path / "update.bundle"]
    done = subprocess.run(command, env=clean(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "nothing to do: there is no newer version of the template\n")


@pytest.mark.parametrize("missing", ["_commit", "_src_path", "file"])
def test_a_service_that_does_not_know_its_template_is_told_so(missing: str, service: Repository) -> None:
    answers = service.root / ".copier-answers.yml"
    kept = [line for line in answers.read_text().splitlines(True) if not line.startswith(missing)]
    answers.unlink() if missing == "file" else answers.write_text("".join(kept))
    done = service.update()
    assert done.returncode == 2
    said = r"template-update: \.copier-answers\.yml names no _\w+: an update is impossible\n"
    assert re.fullmatch(said, done.stderr)


def test_a_lock_file_that_cannot_follow_is_to_settle(service: Repository, source: Path) -> None:
    (service.root / "uv.lock").write_text("version = 1\n")
    project = service.root / "pyproject.toml"
    service.commit("pyproject.toml", project.read_text() + 'dependencies = ["no-such-thing-anywhere"]\n')
    improve(source)
    assert service.propose(UV=uv(), UV_OFFLINE="1").returncode == 1
    assert "--draft" in service.asked
    assert "## uv.lock is the old one\n\n`uv lock` on this branch refreshes it. It failed: " in service.body


def test_gitlab_opens_the_merge_request_with_the_push(tmp_path: Path, source: Path, rendered: Render) -> None:
    service = Repository(tmp_path, source, rendered(ci="gitlab"))
    service.commit("changed.txt", CONFLICT)
    improve(source)
    hook = service.remote / "hooks" / "post-receive"
    hook.write_text(f'#!/bin/sh\nenv | grep -a "^GIT_PUSH_OPTION_[0-9]" | cut -d= -f2- > {tmp_path}/options\n')
    hook.chmod(0o755)
    done = service.propose()
    assert done.returncode == 1, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    options = (tmp_path / "options").read_text().splitlines()
    title = f"merge_request.title={TITLE}: 1 to settle"
    assert {"merge_request.create", "merge_request.target=main", "merge_request.draft", title} <= set(options)
    (text,) = [option.partition("=")[2] for option in options if option.startswith("merge_request.description=")]
    assert text.replace("\\n", "\n") == git(service.remote, "log", "-1", "--format=%b", BRANCH).strip()
    assert "\\n- `changed.txt`" in text
