"""The origin of a service: plain Copier's guard and the program refuse one that could never be updated."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from groundwork.errors import Refused
from groundwork.new import new
from tests.generator.synthetic import clone
from tests.releases import NEXT, git


def copier(*arguments: str | Path, folder: Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    """Plain Copier's command line."""
    command = [sys.executable, "-m", "copier", "copy", "--defaults", "--quiet", *map(str, arguments)]
    environ = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environ)


def refused(done: subprocess.CompletedProcess[str], folder: Path) -> str:
    """The one line of a refusal that wrote nothing."""
    assert done.returncode == 1, done.stderr
    assert not (folder / "service").exists()
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_folder_that_is_no_checkout_is_refused(template: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(template, plain, ignore=shutil.ignore_patterns(".git"))
    said = refused(copier(plain, "service", folder=tmp_path), tmp_path)
    assert f"{plain} has no version to update from" in said
    with pytest.raises(Refused, match="is not a git checkout"):
        new(tmp_path / "service", template=str(plain), folder=tmp_path, data={}, defaults=True)


def test_a_machine_without_git_is_refused(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(copier(template, "service", folder=tmp_path, path=str(tmp_path)), tmp_path)
    assert "git is not installed" in said
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="install git and try again"):
        new(tmp_path / "service", template=str(template), folder=tmp_path, data={}, defaults=True)


def test_a_tag_that_is_no_version_is_refused(template: Path, tmp_path: Path) -> None:
    root = clone(template, tmp_path / "groundwork")
    git(root, "tag", "--delete", NEXT)
    git(root, "tag", "--annotate", "--message=x", "nightly")
    said = refused(copier("--vcs-ref=nightly", root, "service", folder=tmp_path), tmp_path)
    assert f"{root} is at nightly, which is no version to update from: choose one with --vcs-ref" in said


@pytest.mark.parametrize("spelling", ["groundwork", "./groundwork", "../here/groundwork", "./ground:work"])
def test_a_relative_path_is_refused_by_the_guard(spelling: str, template: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    clone(template, here / Path(spelling).name)
    said = refused(copier(spelling, "service", folder=here), here)
    assert f"{spelling} is a relative path, and updates would not find it: give the absolute one, or a URL" in said


def test_the_program_records_a_relative_path_as_an_absolute_one(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = clone(template, tmp_path / "groundwork")
    monkeypatch.chdir(tmp_path)
    made = new(None, template="./groundwork", folder=Path(), data={}, defaults=True)
    recorded = yaml.safe_load((made.path / ".copier-answers.yml").read_text())
    assert recorded["_src_path"] == str(root)
    assert recorded["_commit"] == made.version == NEXT


@pytest.mark.parametrize("untracked", [True, False])
def test_the_program_refuses_a_dirty_checkout(untracked: bool, template: Path, tmp_path: Path) -> None:
    root = clone(template, tmp_path / "groundwork")
    (root / ("note.txt" if untracked else "copier.yml")).open("a").write("\n")
    with pytest.raises(Refused, match=r"uncommitted changes \((note.txt|copier.yml)\).*: commit or stash them"):
        new(tmp_path / "service", template=str(root), folder=tmp_path, data={}, defaults=True)
    assert not (tmp_path / "service").exists()


def test_a_checkout_without_tags_gives_a_service_that_knows_its_commit(template: Path, tmp_path: Path) -> None:
    git(template, "clone", "--quiet", "--no-tags", "--shared", str(template), str(tmp_path / "groundwork"))
    made = new(tmp_path / "service", template=str(tmp_path / "groundwork"), folder=tmp_path, data={}, defaults=True)
    assert git(tmp_path / "groundwork", "rev-parse", "HEAD").startswith(made.version)


def test_a_checkout_gives_its_newest_release_which_can_be_updated(template: Path, tmp_path: Path) -> None:
    root = clone(template, tmp_path / "groundwork")
    git(root, "commit", "--allow-empty", "--quiet", "--message=x")
    made = new(tmp_path / "service", template=str(root), folder=tmp_path, data={}, defaults=True)
    assert made.version == NEXT
    command = [sys.executable, "-m", "copier", "update", "--defaults", "--quiet"]
    updated = subprocess.run(command, cwd=made.path, capture_output=True, text=True, check=False)
    assert updated.returncode == 0, updated.stderr
    newer = new(tmp_path / "newer", template=str(root), ref="HEAD", folder=tmp_path, data={}, defaults=True)
    assert newer.version.startswith(f"{NEXT}-1-g")


@pytest.mark.parametrize("newest", ["1000.2.0", "v1000.2.0"])
def test_a_tag_is_a_release_with_and_without_a_leading_v(newest: str, template: Path, tmp_path: Path) -> None:
    root = clone(template, tmp_path / "groundwork")
    for tag in ("1000.1.0", "v1000.1.1", "1000.10", "v2000-rc1", newest):
        git(root, "commit", "--allow-empty", "--quiet", "--message=x")
        git(root, "tag", tag)
    made = new(tmp_path / "service", template=str(root), folder=tmp_path, data={}, defaults=True)
    assert made.version == newest
    assert yaml.safe_load((made.path / ".copier-answers.yml").read_text())["_commit"] == newest
    command = [sys.executable, "-m", "copier", "update", "--defaults", "--quiet"]
    updated = subprocess.run(command, cwd=made.path, capture_output=True, text=True, check=False)
    assert updated.returncode == 0, updated.stderr


def test_an_older_copier_is_told_so(template: Path, tmp_path: Path) -> None:
    root = clone(template, tmp_path / "groundwork")
    questions = root / "copier.yml"
    questions.write_text(questions.read_text().replace('"9.19.1"', '"999.0.0"'))
    git(root, "commit", "--all", "--quiet", "--message=x")
    said = refused(copier("--vcs-ref=HEAD", root, "service", folder=tmp_path), tmp_path)
    assert "999.0.0" in said


def test_an_unreachable_template_is_one_line(tmp_path: Path) -> None:
    for template in ("https://127.0.0.1:1/groundwork.git", str(tmp_path / "nowhere")):
        with pytest.raises(Refused) as refusal:
            new(tmp_path / "service", template=template, folder=tmp_path, data={}, defaults=True)
        assert "127.0.0.1" in str(refusal.value) or "nowhere" in str(refusal.value)
        assert len(str(refusal.value).splitlines()) == 1
        assert list(tmp_path.iterdir()) == []
