"""Traps of Copier in templates that look right: the reasons behind rules that tests/lint holds for this one."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.releases import git, release
from tests.update.services import ANSWERS, commit, generate, recorded, update

ANSWERS_FILE = "{{ _copier_answers | to_nice_yaml -}}"


class Template:
    """A template of a few lines, with one version after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        git(root, "init", "--quiet")
        (root / "{{ _copier_conf.answers_file }}.jinja").write_text(ANSWERS_FILE)

    def version(self, tag: str, questions: Mapping[str, object], **texts: str) -> None:
        """Release these questions and files."""
        (self.root / "copier.yml").write_text(yaml.safe_dump(questions, sort_keys=False))
        for name, text in texts.items():
            (self.root / f"{name}.txt.jinja").write_text(text)
        release(self.root, tag)


@pytest.fixture
def template(tmp_path: Path) -> Template:
    """One without a version yet."""
    return Template(tmp_path / "template")


def test_an_answer_to_a_hidden_question_is_taken_not_recorded_and_reverted_by_the_next_update(
    template: Template, tmp_path: Path
) -> None:
    questions = {"cache": {"type": "str", "default": "none", "when": False}}
    template.version("v1.0.0", questions, page="{{ cache }}\n")
    root = generate(template.root, tmp_path / "service", "v1.0.0", {"cache": "redis"})
    assert (root / "page.txt").read_text() == "redis\n"
    assert recorded(root) == {}
    template.version("v2.0.0", questions, page="{{ cache }}\n", other="x\n")
    update(root, "v2.0.0")
    assert "cache" not in (root / ANSWERS).read_text()


def test_a_validator_that_refuses_a_recorded_answer_drops_it_without_a_word(template: Template, tmp_path: Path) -> None:
    template.version("v1.0.0", {"name": {"type": "str", "default": "x"}}, page="{{ name }}\n")
    root = generate(template.root, tmp_path / "service", "v1.0.0", {"name": "mine"})
    strict = {"type": "str", "default": "x", "validator": "{{ 'too long' if name | length > 3 }}"}
    template.version("v2.0.0", {"name": strict})
    update(root, "v2.0.0")
    assert recorded(root) == {"name": "x"}
    assert (root / "page.txt").read_text() == "x\n"


def test_a_dropped_choice_drops_the_recorded_answer_without_a_word(template: Template, tmp_path: Path) -> None:
    template.version("v1.0.0", {"ci": {"type": "str", "default": "a", "choices": ["a", "b"]}}, page="{{ ci }}\n")
    root = generate(template.root, tmp_path / "service", "v1.0.0", {"ci": "b"})
    template.version("v2.0.0", {"ci": {"type": "str", "default": "a", "choices": ["a", "c"]}})
    update(root, "v2.0.0")
    assert recorded(root) == {"ci": "a"}


def test_unknown_data_is_dropped_without_a_word(template: Template, tmp_path: Path) -> None:
    template.version("v1.0.0", {"redis": {"type": "bool", "default": False}})
    root = generate(template.root, tmp_path / "service", "v1.0.0", {"redsi": True})
    assert recorded(root) == {"redis": False}


def test_a_file_to_be_skipped_comes_back_and_an_excluded_one_does_not(template: Template, tmp_path: Path) -> None:
    questions = {
        "_exclude": ["{% if _copier_operation == 'update' %}/seed.txt{% endif %}"],
        "_skip_if_exists": ["/kept.txt"],
    }
    template.version("v1.0.0", questions, seed="text\n", kept="text\n")
    root = generate(template.root, tmp_path / "service", "v1.0.0", {})
    for name in ("seed.txt", "kept.txt"):
        (root / name).unlink()
    commit(root)
    update(root, "v1.0.0")
    assert not (root / "seed.txt").exists()
    assert (root / "kept.txt").exists()


def test_an_unanchored_pattern_freezes_other_folders_too(template: Template, tmp_path: Path) -> None:
    questions = {"_exclude": ["{% if _copier_operation == 'update' %}page.txt{% endif %}"]}
    (template.root / "docs").mkdir()
    (template.root / "docs/page.txt").write_text("old\n")
    template.version("v1.0.0", questions)
    root = generate(template.root, tmp_path / "service", "v1.0.0", {})
    (template.root / "docs/page.txt").write_text("new\n")
    template.version("v2.0.0", questions)
    update(root, "v2.0.0")
    assert (root / "docs/page.txt").read_text() == "old\n"
