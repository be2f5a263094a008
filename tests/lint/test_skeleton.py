"""template/ and the repository's own texts: plain, small, and free of any extension's name."""

import re
import tomllib

import pytest
import yaml

from tests.manifests import EXTENSIONS, REPOSITORY
from tests.releases import git
from tests.tree import ASKED, CONFIGURATION, MANIFESTS, TEMPLATE, environment, texts, words

LIST = TEMPLATE / "app" / "extensions" / "__init__.py.jinja"
STUBS = {
    "{% yield file from files %}{{ file.path }}{% endyield %}.jinja": ("{% include file.source %}", 0o644),
    "{% yield script from scripts %}{{ script.path }}{% endyield %}.jinja": ("{% include script.source %}", 0o755),
}
LARGEST = 300
RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}


def tracked() -> list[str]:
    """Every path of this repository that is there."""
    listed = git(REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return [name for name in listed if name and (REPOSITORY / name).exists()]


def test_no_python_has_jinja_but_the_one_generated_list() -> None:
    assert [path for path in texts(TEMPLATE) if path.name.endswith(".py.jinja")] == [LIST]
    for path in TEMPLATE.rglob("*.py"):
        assert "{%" not in path.read_text(), path


@pytest.mark.parametrize("name", STUBS)
def test_a_stub_is_one_include(name: str) -> None:
    text, mode = STUBS[name]
    assert (TEMPLATE / name).read_text() == text
    assert (TEMPLATE / name).stat().st_mode & 0o111 == mode & 0o111


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_skeleton_names_no_extension(name: str) -> None:
    # A link is no mention: https://github.com/... stays.
    found = []
    for path in texts(TEMPLATE):
        text = re.sub(r"https?://\S+", "", f"{path.relative_to(TEMPLATE)}\n{path.read_text()}")
        for line in text.splitlines():
            if any(re.search(rf"(?i)(?<![a-z]){re.escape(word)}(?![a-z])", line) for word in words(name)):
                found.append(f"{path.relative_to(TEMPLATE)}: {line.strip()}")
    assert not found


def test_every_jinja_text_parses_with_copiers_own_environment() -> None:
    parser = environment()
    for path in texts(TEMPLATE):
        parser.parse(path.relative_to(TEMPLATE).as_posix())
        if path.suffix == ".jinja":
            parser.parse(path.read_text())
    for path in [*texts(EXTENSIONS), *texts(REPOSITORY / "licenses")]:
        parser.parse(path.read_text())


def test_nothing_that_is_rendered_depends_on_time_chance_or_place() -> None:
    impure = re.compile(
        r"\b(now|strftime|ans_random|random|shuffle|random_mac|hash|fileglob|dst_path|_folder_name|_copier_python)\b"
    )
    for path in [path for path in texts(TEMPLATE) if path.suffix == ".jinja"]:
        code = " ".join(re.findall(r"\{[{%].*?[%}]\}", f"{path.name} {path.read_text()}", re.DOTALL))
        assert not impure.search(code), path
    assert not [path for path in texts(TEMPLATE) if path.is_symlink()]


@pytest.mark.parametrize("folder", ["template", "extensions", "groundwork", "tests"])
def test_a_python_file_fits_in_300_lines_and_says_what_it_owns(folder: str) -> None:
    for path in [path for path in texts(REPOSITORY / folder) if path.name.endswith((".py", ".py.jinja"))]:
        text = path.read_text()
        assert len(text.splitlines()) <= LARGEST, path
        assert not text or re.search(r'^"""', text, re.MULTILINE), path


def test_file_names_work_on_windows() -> None:
    lowered: dict[str, str] = {}
    for name in tracked():
        assert not re.search(r'[<>:"|?*\\]', name), name
        for part in name.split("/"):
            assert part.split(".")[0].lower() not in RESERVED, name
            assert not part.endswith((".", " ")), name
        assert lowered.setdefault(name.lower(), name) == name, "two names that differ in case only"


def test_every_text_has_lf_endings() -> None:
    assert "eol=lf" in (REPOSITORY / ".gitattributes").read_text()
    for name in tracked():
        if (REPOSITORY / name).suffix not in {".png", ".ico"}:
            assert b"\r" not in (REPOSITORY / name).read_bytes(), name


def test_ruff_is_the_same_here_and_in_a_service() -> None:
    here = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["ruff"]
    service = (TEMPLATE / "pyproject.toml.jinja").read_text()
    lint = environment().from_string(service[service.index("[tool.ruff]") : service.index("# https://mypy")])
    there = tomllib.loads(lint.render(tools=True))["tool"]["ruff"]
    for key in ("line-length", "target-version"):
        assert here[key] == there[key], key
    for key in ("select", "ignore", "isort"):
        assert here["lint"][key] == there["lint"][key], key


def test_ownership_patterns_are_anchored_and_read_no_answer() -> None:
    lines = [line for item in CONFIGURATION["_exclude"] for line in item.splitlines() if not line.startswith("{%")]
    assert lines
    for pattern in [*lines, *CONFIGURATION["_skip_if_exists"]]:
        assert pattern.startswith("/"), "unanchored, README.md would freeze docs/README.md too"
    for item in CONFIGURATION["_exclude"]:
        for name in ASKED:
            assert name not in item, "new patterns are rendered with old answers too"


def test_yaml_of_the_template_is_yaml() -> None:
    for path in [path for path in texts(TEMPLATE) if path.suffix in {".yml", ".yaml"}]:
        assert yaml.safe_load(path.read_text()) is not None, path
