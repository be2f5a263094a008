"""A single render through pytest-copie; it trusts every template, so trust and updates go through Copier's own API."""

from pathlib import Path

from pytest_copie.plugin import Copie

from tests.releases import NEXT
from tests.tree import ASKED


def test_the_defaults_make_a_service(copie: Copie, template: Path) -> None:
    result = copie.copy(template_dir=template, vcs_ref=NEXT)
    assert result.exception is None
    assert result.exit_code == 0
    assert sorted(result.answers) == sorted(ASKED)
    assert result.project_dir
    assert (result.project_dir / "app" / "main.py").is_file()


def test_a_wrong_answer_makes_none(copie: Copie, template: Path) -> None:
    result = copie.copy(extra_answers={"database": "oracle"}, template_dir=template, vcs_ref=NEXT)
    assert result.exit_code == -1
    assert "there is no oracle" in str(result.exception)
    assert result.project_dir is None
