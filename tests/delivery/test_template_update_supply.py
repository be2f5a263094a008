"""A release of the template is not trusted before its review: its code sees no token, and its values run nothing."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.delivery.pipelines import PROVIDERS
from tests.delivery.updating import BRANCH, NEW, TOKEN, Repository, improve, template
from tests.live.environment import uv
from tests.releases import git, release

BACKEND = """\
import json, os

def prepare_metadata_for_build_editable(folder, *_, **__):
    with open({place!r}, "w") as file:
        json.dump(dict(os.environ), file)
    os.mkdir(folder + "/service-1.dist-info")
    with open(folder + "/service-1.dist-info/METADATA", "w") as file:
        file.write("Metadata-Version: 2.1\\nName: service\\nVersion: 1\\n")
    return "service-1.dist-info"
"""
PROJECT = """\
[project]
name = "service"
dynamic = ["version"]
requires-python = ">=3.11"

[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
NAMES = [
    "GH_TOKEN", "GITHUB_TOKEN", "TEMPLATE_UPDATE_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD", "DEPLOY_HOOK", "AWS_SECRET_ACCESS_KEY", "DATABASE__URL",
    "BACKUPS__KEY", "UV_PUBLISH_TOKEN", "UV_INDEX_OWN_PASSWORD", "SSH_AUTH_SOCK", "GIT_ASKPASS", "NPM_CONFIG__AUTH",
]  # fmt: skip
"""Variables that hold a token or lead to one, on a developer's machine or a runner."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The template that the service is from."""
    return template(tmp_path / "template")


@pytest.fixture
def service(tmp_path: Path, source: Path, rendered: Render) -> Repository:
    """A service at the first version."""
    return Repository(tmp_path, source, rendered(ci="github"))


def spying(source: Path, place: Path) -> None:
    """Make a release whose build backend writes its environment to a file."""
    improve(source)
    git(source, "tag", "--delete", NEW)
    (source / "template" / "pyproject.toml").write_text(PROJECT)
    (source / "template" / "backend.py").write_text(BACKEND.format(place=str(place)))
    release(source, NEW)


def test_code_of_a_release_runs_without_any_token_and_never_in_the_step_that_has_one(
    service: Repository, source: Path
) -> None:
    service.commit("uv.lock", 'version = 1\nrequires-python = ">=3.11"\n')
    seen, bundle = service.place / "seen", service.place / "update.bundle"
    spying(source, seen)
    header = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader", "GIT_CONFIG_VALUE_0": f"Auth: {TOKEN}"}
    tokens = dict.fromkeys(NAMES, TOKEN) | header | {"UV_INDEX": f"https://user:{TOKEN}@index.example/simple"}
    done = service.update("--bundle", str(bundle), UV=uv(), UV_OFFLINE="1", **tokens)
    assert done.returncode == 0, done.stderr
    assert seen.exists(), done.stdout
    given = json.loads(seen.read_text())
    assert [name for name, value in given.items() if TOKEN in value or name in NAMES] == []
    assert {"PATH", "HOME", "UV_OFFLINE"} <= given.keys()
    seen.unlink()
    place = service.place / "proposing"
    git(service.place, "clone", "--quiet", "--depth=1", "--branch=main", f"file://{service.remote}", str(place))
    assert service.push(place, bundle).returncode == 0
    assert service.branches(remote=True) == ["main", BRANCH]
    assert not seen.exists()
    assert git(place, "status", "--porcelain", "--branch").startswith("## main")
    assert not (place / "backend.py").exists()


def test_git_has_a_token_only_where_it_fetches(service: Repository, source: Path, tmp_path: Path) -> None:
    # A release may bring a .git of its own, whose configuration names programs: git runs them beside rendered files.
    log = tmp_path / "with-token"
    improve(source)
    wrapper = tmp_path / "programs" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n! env | grep -q {TOKEN} || echo "$1" >>{log}\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    assert service.update(GH_TOKEN=TOKEN).returncode == 0
    assert set(log.read_text().split()) == {"ls-remote", "clone"}


@pytest.mark.parametrize("ci", PROVIDERS)
@pytest.mark.parametrize(("branch", "commits"), [("main", 1), ("template-update/v1.0;id", 1), (BRANCH, 2)])
def test_a_bundle_brings_one_commit_on_one_branch_and_else_nothing_is_pushed(
    ci: str, branch: str, commits: int, tmp_path: Path, source: Path, rendered: Render
) -> None:
    service = Repository(tmp_path, source, rendered(ci=ci))
    bundle, before = service.place / "update.bundle", git(service.remote, "rev-parse", "main")
    place = service.place / "proposing"
    git(service.place, "clone", "--quiet", "--depth=1", "--branch=main", f"file://{service.remote}", str(place))
    git(service.root, "checkout", "--quiet", "--detach")
    for number in range(commits):
        git(service.root, "commit", "--quiet", "--allow-empty", "--message", f"Change {number}")
    git(service.root, "branch", "--force", branch)
    git(service.root, "bundle", "create", "--quiet", str(bundle), f"origin/main..{branch}")
    done = service.push(place, bundle)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert service.branches(remote=True) == ["main"]
    assert git(service.remote, "rev-parse", "main") == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_src_path", "--upload-pack=touch {made};"),
        ("_src_path", "git+--upload-pack=touch {made};"),
        ("_src_path", "ext::sh -c touch% {made}"),
        ("_src_path", "git+ext::sh -c touch% {made}"),
        ("_commit", "--upload-pack=touch {made};"),
    ],
)
def test_no_value_of_the_answers_file_is_taken_for_an_option_or_a_command(
    name: str, value: str, service: Repository, source: Path, tmp_path: Path
) -> None:
    improve(source)
    made, answers = tmp_path / "made", service.root / ".copier-answers.yml"
    kept = [line for line in answers.read_text().splitlines() if not line.startswith(name)]
    service.commit(answers.name, "\n".join([*kept, f"{name}: {value.format(made=made)}", ""]))
    allowed = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.ext.allow", "GIT_CONFIG_VALUE_0": "always"}
    done = service.update(**allowed)
    assert done.returncode in {2, 3}
    assert done.stderr.startswith("template-update: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not made.exists()
    assert service.branches() == ["main"]
