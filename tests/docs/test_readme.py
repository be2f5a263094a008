"""README.md: every command runs, every output is the real one, every table says what the code says."""

import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import Render
from tests.docs.conftest import Shell, writable
from tests.docs.markdown import blocks, commands, prose, rows
from tests.docs.serving import serving
from tests.manifests import REPOSITORY
from tests.matrix.combinations import LISTS
from tests.releases import git
from tests.render import render
from tests.tree import CHOICES, MANIFESTS, SEEDS

pytestmark = pytest.mark.timeout(900)  # a service is installed, checked and tested whole, on a busy machine too
PAGE = (REPOSITORY / "README.md").read_text()
DEFAULT = " (default)"
LOCAL = "http://127.0.0.1:8000"


def transcript() -> list[tuple[str, str]]:
    """Each command of the `console` blocks, and what it prints."""
    found = []
    for block in blocks(PAGE):
        if block.language == "console":
            for part in re.split(r"^\$ ", block.content, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append((command, output.strip()))
    return found


def fits(expected: str, printed: str) -> bool:
    """Return whether a text is what was printed; `...` is a placeholder for what differs from time to time."""
    return re.fullmatch(".*?".join(re.escape(part) for part in expected.split("...")), printed, re.DOTALL) is not None


@pytest.fixture
def checkout(template: Path, tmp_path: Path) -> Path:
    """A checkout as `git clone` of the public address makes it."""
    git(tmp_path, "clone", "--quiet", str(template), str(tmp_path / "groundwork"))
    return tmp_path / "groundwork"


def test_the_first_screen_scaffolds_and_the_next_command_passes(checkout: Path, shell: Shell, tmp_path: Path) -> None:
    new, test, scaffold, prove = commands(PAGE)[:4]
    # Without a terminal the program cannot ask; the questions themselves are tested at one.
    printed = shell(f'{new} ARGS="--defaults --data project_slug=another"', checkout)
    assert "make setup" in printed
    assert (tmp_path / "another" / "app" / "main.py").is_file()
    shell(f"{scaffold} --defaults", checkout)
    shell(prove, tmp_path / "my-service")
    # This test is one of those that the second command runs, as the gate does.
    assert (REPOSITORY / ".ci" / "run").read_text().splitlines()[-1].endswith(f'"${{1:-{test.removeprefix("make ")}}}"')


def test_the_page_names_where_a_request_goes(rendered: Render) -> None:
    root = rendered()
    index = (root / "docs" / "index.md").read_text()
    for page in (PAGE, index):
        named = re.findall(r"`(app/[a-z_/]+\.py)`", page.partition("## How a request flows")[2].partition("\n## ")[0])
        assert len(named) == 4
        assert all((root / path).is_file() for path in named), named


def test_nothing_is_asked_where_all_is_answered(checkout: Path, shell: Shell) -> None:
    command = next(command for command in commands(PAGE) if "--defaults --data" in command)
    shell(command, checkout)
    answers = (checkout.parent / "quiet-service" / ".copier-answers.yml").read_text()
    assert "database: postgres" in answers
    assert "project_name: Quiet Service" in answers


def test_an_update_is_one_command(template: Path, shell: Shell, tmp_path: Path) -> None:
    shell(f"uvx copier copy --defaults {template} service && cd service && git init --quiet", tmp_path)
    root = tmp_path / "service"
    shell("git add --all && git commit --quiet --no-verify --message 'Start'", root)
    assert commands(PAGE)[-1] == "make template-update"
    assert "is the newest version of the template" in shell(commands(PAGE)[-1], root)
    inline = [
        found for found in re.findall("`([^`]+)`", prose(PAGE)) if re.match("git config |uvx copier update", found)
    ]
    assert len(inline) == 3
    for command in inline:
        shell(command, root)
    assert git(root, "status", "--porcelain") == ""


def test_every_command_is_run_here() -> None:
    assert len(commands(PAGE)) == 6


def test_the_outputs_are_the_real_ones(rendered: Render, checkout: Path, shell: Shell, tmp_path: Path) -> None:
    root = writable(rendered(), tmp_path / "service")
    shell("make setup", root)
    served = [pair for pair in transcript() if LOCAL in pair[0]]
    with serving("make dev", root) as address:
        for command, expected in served:
            printed = shell(command.replace(LOCAL, address), root).strip()
            assert fits(expected, printed), f"{command}\n{printed}"
    others = [pair for pair in transcript() if LOCAL not in pair[0]]
    assert len(served) == 7
    assert len(others) == 2
    for command, expected in others:
        folder = checkout if command.startswith("make") else root
        printed = shell(command, folder, status=2).strip()
        assert fits(expected, printed), f"{command}\n{printed}"


def test_the_tree_is_what_one_gets(rendered: Render) -> None:
    tree = next(block.content for block in blocks(PAGE) if block.content.startswith("my-service/"))
    folders: list[str] = []
    shown = set()
    for line in tree.splitlines()[1:]:
        found = re.match(r"(?P<indent>[│ ]*)[├└]── (?P<name>\S+)", line)
        assert found, line
        folders = [*folders[: len(found["indent"]) // 4], found["name"].rstrip("/")]
        shown.add("/".join(folders))
    root = rendered()
    for path in shown:
        assert (root / path).exists(), path
    kept_short = {"CHANGELOG.md", "LICENSE", "README.md", "alembic.ini", "ops"}
    small = {".gitignore", ".pre-commit-config.yaml", ".dockerignore", "renovate.json"}
    small |= {"compose.yaml", "compose.production.yaml", ".editorconfig", ".vscode"}
    assert {path.name for path in root.iterdir()} - shown <= kept_short | small


def test_every_option_has_its_row() -> None:
    listed = {row[1].removesuffix(DEFAULT).strip("`") for row in rows(PAGE, "Question")}
    assert listed == set(MANIFESTS) - set(SEEDS)


def test_the_defaults_are_marked(tmp_path: Path) -> None:
    marked = {row[0].strip("`"): row[1] for row in rows(PAGE, "Question") if row[1].endswith(DEFAULT)}
    recorded = yaml.safe_load((render(tmp_path / "service", {}) / ".copier-answers.yml").read_text())
    assert marked == {name: f"`{recorded[name]}`{DEFAULT}" for name in ("database", "ci", "response_format")}
    assert [row[0] for row in rows(PAGE, "Preset") if row[0].endswith(DEFAULT)] == [f"`{recorded['preset']}`{DEFAULT}"]


def test_the_presets_enable_what_is_said() -> None:
    lists = [name for question in LISTS for name in CHOICES[question]]
    enabled = {preset: [name for name in lists if preset in MANIFESTS[name]["presets"]] for preset in CHOICES["preset"]}
    minimal, standard, production = rows(PAGE, "Preset")
    assert minimal == ["`minimal`", "nothing"]
    assert not enabled["minimal"]
    assert standard == [f"`standard`{DEFAULT}", ", ".join(f"`{name}`" for name in enabled["standard"])]
    assert production[1].startswith("all but `log_files` and `devcontainer`; ")
    assert set(lists) - set(enabled["production"]) == {"log_files", "devcontainer"}


def test_every_claim_names_a_test_that_exists() -> None:
    for claim, test in rows(PAGE, "Claim"):
        path = re.search(r"\]\(([^)]+)\)", test)
        assert path, claim
        assert "def test_" in (REPOSITORY / path[1]).read_text()
