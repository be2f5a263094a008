"""Questions over the years: new, renamed and retired ones, stricter rules, and what is recorded of each."""

import pytest
from copier.errors import UserMessageError

from tests.releases import git
from tests.update.conftest import Made
from tests.update.next_release import LATER, NOW, RENAMED, TIGHTENED, UNKNOWN
from tests.update.services import commit, conflicts, copier, different, files, recorded, the_templates, update


def test_a_new_question_enters_with_its_first_choice(service: Made) -> None:
    root = service()
    before = recorded(root)
    assert recorded(update(root)) == before | {"greeting": "plain"}
    assert "says plain words" in (root / "docs/later.md").read_text()
    assert not (root / "docs/warm.md").exists(), "a new ownership pattern holds with old answers too"


def test_an_answer_given_on_update_is_recorded_and_stays(service: Made) -> None:
    root = service()
    done = copier(root, "update", "--defaults", f"--vcs-ref={LATER}", "--data", "greeting=warm", "--data", "sample=no")
    assert done.returncode == 0, done.stderr
    commit(root)
    assert recorded(root)["greeting"] == "warm"
    assert recorded(root)["sample"] is False
    update(root, RENAMED)
    assert recorded(root)["sample"] is False, "the next update reverts nothing"


def test_a_renamed_question_reads_the_answer_under_its_old_name(service: Made, fresh: Made) -> None:
    root = service(LATER, author_email="ada@example.com", greeting="warm")
    before = recorded(root)
    update(root, RENAMED)
    assert recorded(root)["contact"] == "ada@example.com"
    assert not {"author_email", "greeting"} & set(recorded(root))
    assert conflicts(root) == []
    answers = {name: answer for name, answer in before.items() if name not in {"author_email", "greeting"}}
    expected = fresh(RENAMED, **answers, contact="ada@example.com")
    assert different(the_templates(root), the_templates(expected)) in ([], ["docs/warm.md"])


def test_a_renamed_question_is_found_over_two_versions_at_once(service: Made) -> None:
    root = update(service(NOW, author_email="ada@example.com"), RENAMED)
    assert recorded(root)["contact"] == "ada@example.com"
    commit(root)
    once = files(root)
    assert different(files(update(root, RENAMED)), once) == [], "and the old name is not needed again"


def test_a_retired_name_may_still_be_given(service: Made) -> None:
    # Renovate and scripts repeat what they once passed.
    root = update(service(LATER), RENAMED, greeting="warm", author_email="ada@example.com")
    assert recorded(root)["contact"] == "ada@example.com"


def test_a_name_that_the_registry_forgot_stops_the_update(service: Made) -> None:
    # Why names are never removed from it: Copier passes recorded answers on as if they were given.
    root = service(LATER)
    with pytest.raises(UserMessageError, match="unknown question greeting"):
        update(root, UNKNOWN)
    assert git(root, "rev-parse", "HEAD"), "all is in the last commit"


def test_an_answer_that_a_stricter_rule_refuses_can_be_given_anew(service: Made) -> None:
    root = service(NOW, project_name="A Long Name")
    update(root, TIGHTENED, project_name="Short")
    assert recorded(root)["project_name"] == "Short"
    assert recorded(root)["project_slug"] == "a-long-name", "a default is not taken again"


def test_an_answer_changed_by_hand_is_recorded_and_never_rendered(service: Made) -> None:
    # Why the answers file says: never by hand.
    root = service()
    path = root / ".copier-answers.yml"
    path.write_text(path.read_text().replace("license: MIT", "license: Apache-2.0"))
    commit(root)
    update(root)
    assert recorded(root)["license"] == "Apache-2.0"
    assert 'license = "MIT"' in (root / "pyproject.toml").read_text()
