"""The pipelines of both providers: valid, pinned, and with no more rights than they need."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from yamllint import linter
from yamllint.config import YamlLintConfig

from tests.conftest import Render
from tests.delivery.pipelines import EVERYTHING, PROVIDERS, commands, faults, files, jobs, load, steps
from tests.delivery.tools import tool
from tests.matrix.combinations import every, label

ROWS = [
    pytest.param(row, id=label(row), marks=pytest.mark.xdist_group(label(row)))
    for row in every()
    if row.get("ci") != "none"
]
YAMLLINT = YamlLintConfig(
    "{extends: default, rules: {document-start: disable, truthy: {check-keys: false}, line-length: {max: 140},"
    " comments: {min-spaces-from-content: 1}}}"
)
SEEN: dict[tuple[str, str, str], list[str]] = {}
WRITES = {
    ("docker.yml", "publish"): {"packages": "write", "id-token": "write", "attestations": "write"},
    ("docker.yml", "release"): {"packages": "write", "attestations": "read"},
    ("docker.yml", "deploy"): {"id-token": "write"},
}
"""The jobs that may do more than read the repository, and what."""


def wrong(path: Path) -> list[str]:
    """Return what the schemas and linters find in a pipeline's file. Most services have the same ones."""
    key = (path.parent.name, path.name, path.read_text())
    if key not in SEEN:
        SEEN[key] = [str(one) for one in faults(path)]
        if path.suffix != ".json":
            SEEN[key] += [str(one) for one in linter.run(path.read_text(), YAMLLINT)]
        if ".github" in path.parts:
            command = [tool("zizmor"), "--offline", "--quiet", "--no-progress", "--pedantic", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            SEEN[key] += [done.stdout + done.stderr] if done.returncode else []
    return SEEN[key]


@pytest.mark.parametrize("answers", ROWS)
def test_every_pipeline_is_valid_and_safe(answers: dict[str, Any], rendered: Render) -> None:
    root = rendered(**answers)
    found = files(root)
    assert found
    for path in found:
        assert wrong(path) == [], path
    for path in [path for path in found if path.suffix == ".yml"]:
        for image in re.findall(r"image: (\S+@\S+)|name: (\S+/\S+:\S+)", path.read_text()):
            assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", "".join(image)), image
    for included in load(root / ".gitlab-ci.yml")["include"] if (root / ".gitlab-ci.yml").exists() else []:
        assert (root / included["local"]).exists() is ("rules" not in included)


def test_every_action_is_pinned_and_no_job_may_more_than_it_needs(rendered: Render) -> None:
    root = rendered(ci="github", **EVERYTHING)
    assert {path.stem for path in files(root)} >= {"ci", "security", "template-update", "docker", "backups"}
    for path in root.glob(".github/workflows/*.yml"):
        text, data = path.read_text(), load(path)
        assert data["permissions"] == {}
        assert "group" in data["concurrency"]
        for action in re.findall(r"uses: (\S+@\S+)", text):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
            assert re.search(rf"{re.escape(action)} # v\d+\.\d+\.\d+$", text, re.MULTILINE)
        for name, job in jobs(path).items():
            more = WRITES.get((path.name, name), {})
            assert job["permissions"].items() <= {"contents": "read", **more}.items(), (path.name, name)
            assert more.items() <= job["permissions"].items()
            assert "uses" in job or job["timeout-minutes"] <= 120
    for where, step in steps(root):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, where
        assert "${{" not in step.get("run", ""), where  # a value that a stranger chose would be run


@pytest.mark.parametrize("ci", PROVIDERS)
def test_shellcheck_finds_nothing(ci: str, rendered: Render) -> None:
    root = rendered(ci=ci, **EVERYTHING)
    shell = "bash" if ci == "github" else "sh"
    for command in commands(root):
        done = subprocess.run(
            [tool("shellcheck"), f"--shell={shell}", "-"], input=command, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
    script = root / "ops" / "propose-update.sh"
    done = subprocess.run([tool("shellcheck"), script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
