"""copier.yml itself: each trap of Copier's that DESIGN knows has a test here, computed from the file."""

import re
import subprocess
from typing import Any

import pytest
import yaml
from jinja2 import meta, nodes

from tests.manifests import REPOSITORY
from tests.releases import releases
from tests.tree import ASKED, CHOICES, COMPUTED, CONFIGURATION, MANIFESTS, QUESTIONS, REGISTRY, environment

FREE = {"_copier_conf", "_copier_answers", "_copier_operation", "range"}


def read(text: Any) -> set[str]:
    """The variables that a Jinja text reads, those of the macros' files left out."""
    return meta.find_undeclared_variables(environment().parse(text)) - FREE if isinstance(text, str) else set()


def test_a_newcomer_can_read_the_questions_on_one_page() -> None:
    assert len((REPOSITORY / "copier.yml").read_text().splitlines()) <= 200


def test_the_questions_stand_in_the_order_that_the_design_fixes() -> None:
    author = ["author_name", "author_email", "repository_url", "license"]
    options = ["python_version", "preset", "database", "extensions", "delivery", "ci", "response_format", "sample"]
    assert ["project_name", "project_slug", "description", *author, *options] == ASKED


@pytest.mark.parametrize("name", ASKED)
def test_an_option_is_always_asked_and_always_recorded(name: str) -> None:
    question = QUESTIONS[name]
    assert "when" not in question, "a hidden question takes --data, does not record it, and the next update reverts it"
    assert not question.get("secret"), "a secret answer is not recorded, and no secret is ever an answer"
    assert question["type"] in {"str", "bool"}
    place = f"{ASKED.index(name) + 1} of {len(ASKED)}: "
    assert re.fullmatch(place + r"[A-Z][^\n]{1,60}(?<!\.)", question["help"]), (
        "a prompt says where one is, and what to answer"
    )


@pytest.mark.parametrize("name", ASKED)
def test_a_question_has_a_default_for_ever(name: str) -> None:
    assert "default" in QUESTIONS[name]


def test_only_computed_values_are_hidden() -> None:
    assert [QUESTIONS[name].get("when") for name in COMPUTED] == [False] * len(COMPUTED)
    assert COMPUTED == ["registry", "origin", "given", "is_update", "parts", "rules", "files", "scripts"]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_reads_only_what_stands_before_it(name: str) -> None:
    before = list(QUESTIONS)[: list(QUESTIONS).index(name)]
    question = QUESTIONS[name]
    for key in ("default", "help", "placeholder", "type"):
        assert read(question.get(key)) <= set(before), key
    assert read(question.get("validator")) <= {*before, name}
    choices = question.get("choices", [])
    for text in [choices] if isinstance(choices, str) else choices:
        assert read(text) <= set(before)


def test_guards_stand_before_the_first_question_and_after_the_manifests() -> None:
    order = list(QUESTIONS)
    assert order[:5] == ["registry", "origin", "given", "is_update", "project_name"]
    assert order.index("rules") == order.index("parts") + 1


@pytest.mark.parametrize("name", ["origin", "given", "rules"])
def test_a_guard_is_a_default_that_raises_and_no_validator(name: str) -> None:
    assert "validator" not in QUESTIONS[name]
    assert QUESTIONS[name]["default"].rstrip().endswith("{{ {}[wrong] if wrong }}")
    assert CONFIGURATION["_envops"]["undefined"] == "jinja2.StrictUndefined"


@pytest.mark.parametrize("name", [name for name in ASKED if "validator" in QUESTIONS[name]])
def test_a_validator_only_repeats_the_rule_that_the_guard_checks_first(name: str) -> None:
    assert name in REGISTRY["patterns"], "on update a validator alone throws a recorded answer away, exit 0"
    assert f"wrong_text('{name}', {name}, registry.patterns.{name})" in QUESTIONS[name]["validator"]


def test_every_answer_is_checked_by_the_first_guard() -> None:
    assert sorted([*REGISTRY["patterns"], *CHOICES]) == sorted(ASKED)


@pytest.mark.parametrize("name", REGISTRY["patterns"])
def test_a_pattern_compiles_and_ends_at_the_end(name: str) -> None:
    pattern, rule = REGISTRY["patterns"][name]
    assert pattern.startswith("^")
    assert pattern.endswith(r"\Z"), "$ lets a line end through"
    assert re.compile(pattern)
    assert rule


@pytest.mark.parametrize("name", [name for name in ASKED if "choices" in QUESTIONS[name]])
def test_choices_come_from_the_registry(name: str) -> None:
    question = QUESTIONS[name]
    assert CHOICES[name], "an empty multiselect becomes a free-text prompt"
    if isinstance(question["choices"], dict):
        assert list(question["choices"].values()) == CHOICES[name]
    else:
        assert f"registry.choices.{name}" in question["choices"]
    if not read(question["default"]) and not question.get("multiselect"):
        assert question["default"] in CHOICES[name]


@pytest.mark.parametrize("name", ["database", "extensions", "delivery", "ci", "response_format"])
def test_each_choice_is_a_folder(name: str) -> None:
    assert set(CHOICES[name]) - {"none"} <= set(MANIFESTS)


def test_presets_named_by_manifests_exist() -> None:
    for name, part in MANIFESTS.items():
        assert set(part["presets"]) <= set(CHOICES["preset"]), name


def test_the_template_needs_no_trust() -> None:
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & set(CONFIGURATION)


def test_the_jinja_options_are_an_api() -> None:
    assert CONFIGURATION["_envops"] == {
        "undefined": "jinja2.StrictUndefined",
        "trim_blocks": True,
        "lstrip_blocks": True,
        "keep_trailing_newline": True,
    }
    assert CONFIGURATION["_min_copier_version"] == "9.19.1"


def test_the_registry_has_every_name_ever_released() -> None:
    released: set[str] = set()
    for commit in releases().values():
        text = subprocess.run(
            ["git", "-C", REPOSITORY, "show", f"{commit}:copier.yml"], capture_output=True, text=True, check=True
        ).stdout
        questions = {name: value for name, value in yaml.safe_load(text).items() if not name.startswith("_")}
        released |= {name for name, question in questions.items() if question.get("when") is not False}
        old = yaml.safe_load(questions["registry"]["default"])["choices"]
        for name, choices in old.items():
            assert set(choices) <= set(CHOICES.get(name, choices)), f"{name}: a choice is never dropped"
    assert {*ASKED, *released} <= set(REGISTRY["names"])


def test_guards_read_no_question_of_which_the_answer_may_be_missing() -> None:
    for name in ("origin", "given", "is_update"):
        assert read(QUESTIONS[name]["default"]) <= {"registry"}


def test_macros_are_only_imported() -> None:
    parsed = environment().parse((REPOSITORY / "extensions" / "validators.jinja").read_text())
    assert all(isinstance(node, nodes.Macro | nodes.Output) for node in parsed.body)
    shown = [node for node in parsed.body if isinstance(node, nodes.Output)]
    assert not "".join(
        part.data for node in shown for part in node.nodes if isinstance(part, nodes.TemplateData)
    ).strip()


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_text_of_a_choice_fits_a_narrow_terminal(name: str) -> None:
    part = MANIFESTS[name]
    assert len(f"{part['title']}: {part['help']}") <= 72, "a prompt cuts it at 80 columns, eight of which are its own"
