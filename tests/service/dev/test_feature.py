"""`make feature`: its refusals are one line and write nothing, and an edited list of features stays as it is."""

import ast
import shutil
from pathlib import Path

import pytest
from sqlalchemy import Table

from app.core.models import Base
from dev.feature import LIST, Refused, feature, main
from tests.conftest import ROOT

EMPTY = '''"""Your features."""

from app.core.component import Component
from app.core.settings import Settings


def components(_: Settings) -> list[Component]:
    return []
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service without features, as far as the command looks at it."""
    for name in ("pyproject.toml", "app/extensions"):
        kind = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        kind(ROOT / name, tmp_path / name)
    (tmp_path / LIST).parent.mkdir(parents=True)
    (tmp_path / LIST).write_text(EMPTY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder: Path) -> dict[str, str]:
    """The text of each file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".ruff_cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files if path.suffix != ".pyc"}


@pytest.mark.parametrize(
    ("name", "fields", "options", "said"),
    [
        ("", "a:str", [], "'' is not a name for a feature"),
        ("Customers", "a:str", [], "'Customers' is not a name"),
        ("1st", "a:str", [], "'1st' is not a name"),
        ("../evil", "a:str", [], "'../evil' is not a name"),
        ("class", "a:str", [], "'class' is not a name"),
        ("x" * 41, "a:str", [], "is not a name"),
        ("app", "a:str", [], "uses the name 'app'"),
        ("components", "a:str", [], "uses the name 'components'"),
        ("taken", "a:str", [], "app/features/taken.py exists"),
        ("tried", "a:str", [], "tests/features/deep/test_tried.py exists"),
        ("rows", "a:str", [], "the class Row would hide the imported Row"),
        ("people", "a:str", ["--one", "two words"], "'two words' is not a name"),
        ("customers", "", [], "name its fields"),
        ("customers", "email", [], "'email' is not a field"),
        ("customers", "email:", [], "'email:' is not a field"),
        ("customers", "email:str:uniqe", [], "'email:str:uniqe' is not a field"),
        ("customers", "email:str:unique:unique", [], "is not a field"),
        ("customers", "email:varchar", [], "there is no type 'varchar': choose from str, text, int"),
        ("customers", "note:text:unique", [], "a text cannot be unique"),
        ("customers", "paid:bool:unique", [], "a bool cannot be unique"),
        ("customers", "a:str a:int", [], "the field 'a' is there twice"),
        ("customers", "E-Mail:str", [], "'E-Mail' is not a name for a field"),
        ("customers", "from:str", [], "'from' is not a name for a field"),
        *[
            ("customers", f"{name}:str", [], f"the field '{name}' would hide")
            for name in ("id", "version", "metadata", "registry", "created_at", "json", "model_config", "count", "date")
        ],
        ("customers", "int:int", [], "the field 'int' would hide"),
        ("customers", "a:str", ["--guard", "unknown"], "there is no guard 'unknown'"),
    ],
)
def test_a_refusal_is_one_line_and_writes_nothing(
    folder: Path,
    name: str,
    fields: str,
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / "app/features/taken.py").touch()
    (folder / "tests/features/deep").mkdir(parents=True)
    (folder / "tests/features/deep/test_tried.py").touch()
    before = tree(folder)
    monkeypatch.setattr("sys.argv", ["feature", name, fields, *options])
    assert main() == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert said in error
    assert tree(folder) == before


@pytest.mark.usefixtures("folder")
def test_a_table_of_another_part_keeps_its_name() -> None:
    table = Table("keys", Base.metadata)
    try:
        with pytest.raises(Refused, match="there is a table 'keys'"):
            feature("keys", "a:str", "", "")
    finally:
        Base.metadata.remove(table)


@pytest.mark.parametrize(
    "end",
    [
        "def components(_: Settings) -> list[Component]:\n    found: list[Component] = []\n    return found\n",
        "def components(_: Settings) -> list[Component]:\n    return [*()] + []\n",
        "components = list\n",
    ],
)
def test_a_list_that_cannot_be_edited_safely_is_left_alone(folder: Path, end: str) -> None:
    (folder / LIST).write_text(EMPTY[: EMPTY.index("def ")] + end)
    before = tree(folder)
    with pytest.raises(Refused, match=r"does not end with \"return \[\.\.\.\]\""):
        feature("customers", "a:str", "", "")
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("body", "listed"),
    [
        ("return []", "return [customers.component()]"),
        ("return [one()]", "return [one(), customers.component()]"),
        ("return [\n        one(\n            1,\n        ),\n    ]", "return [one(1), customers.component()]"),
        ("x = 'é'\n    return [one('é'), *more(x)]", "return [one('é'), *more(x), customers.component()]"),
        (
            "return [\n        one(),  # first\n        two(),  # last\n    ]",
            "return [one(), two(), customers.component()]",
        ),
    ],
)
def test_the_owners_list_gets_one_more_and_keeps_the_rest(folder: Path, body: str, listed: str) -> None:
    mine = EMPTY.replace("return []", body) + "\n\nMINE = 1  # stays\n"
    (folder / LIST).write_text(mine)
    feature("customers", "a:str", "", "")
    text = (folder / LIST).read_text()
    found = next(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Return))
    assert ast.unparse(found) == listed
    assert "from app.features import customers\n" in text
    assert "MINE = 1  # stays\n" in text
    assert all(comment in text for comment in ("# first", "# last") if comment in body)


@pytest.mark.parametrize(
    ("name", "given", "one"),
    [
        ("customers", "", "customer"),
        ("categories", "", "category"),
        ("boxes", "", "box"),
        ("addresses", "", "address"),
        ("staff", "", "staff"),
        ("news", "news", "news"),
        ("people", "person", "person"),
    ],
)
def test_the_singular_is_that_of_a_regular_noun_or_the_given_one(folder: Path, name: str, given: str, one: str) -> None:
    feature(name, "a:str", "", given)
    assert f'__tablename__ = "{name}"' in (folder / f"app/features/{name}/models.py").read_text()
    assert f"/{{{one}_id}}" in (folder / f"app/features/{name}/router.py").read_text()
