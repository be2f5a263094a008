"""The commands of a service's pages, run in their order."""

import re
from pathlib import Path

import httpx2
import pytest

from tests.conftest import Render, copy
from tests.docs.conftest import Shell, writable
from tests.docs.markdown import commands
from tests.docs.serving import serving
from tests.releases import NEXT, git, release
from tests.tree import CHOICES

pytestmark = pytest.mark.timeout(900)  # a service is installed, checked and tested whole, on a busy machine too


@pytest.mark.full  # README's own test and the live first steps run the same commands at each change
@pytest.mark.parametrize("database", CHOICES["database"])
def test_the_first_page_works_as_it_stands(database: str, rendered: Render, shell: Shell, tmp_path: Path) -> None:
    root = writable(rendered(database=database), tmp_path / "service")
    listed = commands((root / "docs" / "index.md").read_text())
    assert listed[:4] == ["make setup", "make check", "make test", "make dev"]
    for command in listed[:3]:
        shell(command, root)
    with serving("make dev", root) as address:
        for command in listed[4:]:
            assert "200 OK" in shell(command.replace("http://127.0.0.1:8000", address), root)
        assert httpx2.get(f"{address}/docs").status_code == 200
    with serving("make run", root) as address:
        assert httpx2.get(f"{address}/health/ready").json() == {"status": "ok"}
        assert httpx2.get(f"{address}/docs").status_code == 404
    assert "check-migrations" in shell("make help", root)


def test_an_update_is_taken_as_the_page_says(template: Path, shell: Shell, tmp_path: Path) -> None:
    source = tmp_path / "groundwork"
    git(tmp_path, "clone", "--quiet", str(template), str(source))
    root = copy(source, tmp_path / "service", sample=False)
    shell("make setup", root)  # with a first commit, as there is none
    readme = source / "template" / "docs" / "api.md.jinja"
    readme.write_text(readme.read_text() + "\nA newer version says more.\n")
    release(source, "v999.0.1")
    page = (root / "docs" / "updating.md").read_text()
    listed = commands(page)
    assert listed[:4] == ["uvx copier update --defaults", "make setup", "make check", "make test"]
    for command in listed[:3]:
        shell(command, root)
    assert "A newer version says more." in (root / "docs" / "api.md").read_text()
    assert "_commit: v999.0.1" in (root / ".copier-answers.yml").read_text()
    git(root, "commit", "--quiet", "--all", "--message", "Take the update")
    assert listed[4].startswith("uvx copier update --defaults --vcs-ref=:current: --data ")
    shell(listed[4], root)
    assert git(root, "status", "--porcelain") == ""  # the page names what is enabled already
    shell(re.sub(r"\[.*\]", "[]", listed[4]), root)
    assert not (root / "app" / "extensions" / "prometheus" / "__init__.py").exists()
    shell("git reset --quiet --hard && git clean -d --force --quiet", root)
    assert (root / "app" / "extensions" / "prometheus" / "__init__.py").exists()
    assert NEXT != "v999.0.1"
