"""The secrets in a cluster: who has which one, how it gets there, and what a placeholder in it stops."""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.delivery.cluster import Object, kinds, templates
from tests.delivery.test_kubernetes import FULL, SMALL, name, read
from tests.delivery.test_kubernetes_deploying import RIGHT, deploy, make
from tests.matrix.combinations import label

pytestmark = pytest.mark.xdist_group(label(FULL))
OWN = {"BACKUPS__KEY", "BACKUPS__ACCESS_KEY", "BACKUPS__SECRET_KEY"}


def sources(template: Object) -> dict[str, set[str] | None]:
    """The Secrets that a pod has, each with the keys of it; None: all."""
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "secrets"]
    if "secret" in volume:
        return {volume["secret"]["secretName"]: None}
    found = [each["secret"] for each in volume["projected"]["sources"]]
    return {each["name"]: {item["key"] for item in each["items"]} if "items" in each else None for each in found}


def keys(sample: Path) -> set[str]:
    """The settings that an example has, those behind a `#` too."""
    return set(re.findall(r"^(?:# )?([A-Z_]+__[A-Z_]+)=", sample.read_text(), re.MULTILINE))


@pytest.mark.parametrize(("answers", "database"), [(FULL, {"my-service": {"DATABASE__URL"}}), (SMALL, {})])
def test_the_jobs_of_the_backups_have_their_own_secret_and_the_service_has_it_not(
    answers: dict[str, str], database: dict[str, set[str]], rendered: Render
) -> None:
    found = read(rendered(**answers), "production")
    for one, template in templates(found):
        backups = one["kind"] == "CronJob"
        assert sources(template) == ({"my-service-backups": None, **database} if backups else {"my-service": None})
        (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "secrets"]
        assert (volume.get("projected") or volume["secret"])["defaultMode"] == 0o440
    assert {one["metadata"]["name"] for one in kinds(found, "CronJob")} >= {"my-service-backup", "my-service-drill"}
    samples = rendered(**answers) / "ops" / "kubernetes"
    assert keys(samples / "backups.env.example") == OWN
    assert not keys(samples / "secrets.env.example") & OWN


@pytest.mark.parametrize("answers", [FULL, SMALL, {"delivery": ["docker", "kubernetes"]}])
def test_the_page_makes_every_secret_of_a_file_that_git_ignores(answers: dict[str, str], rendered: Render) -> None:
    root = rendered(**answers)
    page = (root / "docs" / "deployment.md").read_text()
    copied = re.findall(r"cp ops/kubernetes/(\S+)\.example deploy/production/(\S+)", page)
    assert all(source == copy for source, copy in copied)
    assert {source for source, _ in copied} == {path.stem for path in (root / "ops/kubernetes").glob("*.example")}
    made = re.findall(r"create secret generic (\S+) .*--from-env-file=deploy/production/(\S+)", page)
    assert [file for _, file in made] == [file for file, _ in copied]
    mounted = {secret for _, template in templates(read(root, "production")) for secret in sources(template)}
    assert {secret for secret, _ in made} == mounted
    assert "\n/deploy/*/*.env\n" in (root / ".gitignore").read_text()
    assert name(root) in mounted


@pytest.mark.parametrize(
    ("file", "line", "status"),
    [
        ("secrets.env", "JWT__SECRET=change-me", 2),
        ("secrets.env", "DATABASE__URL=postgresql://a:b@postgres.example.com:5432/a", 2),
        ("backups.env", "BACKUPS__KEY=change-me", 2),
        ("secrets.env", "# HEALTH__KEY=change-me\nJWT__SECRET=0123456789abcdef", 0),
    ],
)
def test_a_placeholder_in_a_secret_is_refused_before_the_cluster_is_asked(
    file: str, line: str, status: int, rendered: Render, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(rendered(**FULL), tmp_path / "service"))
    make(root, "overlay", **RIGHT)
    (root / "deploy" / "live" / file).write_text(f"{line}\n")
    done, calls = deploy(root, tmp_path)
    if status:
        assert f"deploy/live/{file} still has a placeholder in {line.partition('=')[0]}: set your own" in done.stderr
        assert f"Error {status}" in done.stderr
        assert calls == []
    else:
        assert done.returncode == 0, done.stderr
        assert any(call.startswith("get secret my-service my-service-backups --namespace=") for call in calls)
