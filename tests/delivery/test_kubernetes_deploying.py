"""From a rendered service to a deployment: an overlay of the owner's, and its rollout.

There is no cluster. kubectl renders for real; what it would ask of a cluster is recorded, and answered as a test wants.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.delivery.cluster import containers, invalid, kinds, objects, only, settings, templates
from tests.delivery.manifests import wrong
from tests.delivery.test_kubernetes import FULL, PLAIN, SMALL, name
from tests.delivery.tools import tool
from tests.live.environment import clean
from tests.matrix.combinations import label

pytestmark = pytest.mark.xdist_group(label(FULL))
HOST = "orders.example.org"
IMAGE = "registry.example.org/team/orders:1.2.3"
WRONG = [
    *({"name": value} for value in ("", "Live", "../live", "live-", "a" * 21)),
    *({"host": value} for value in ("", "orders", "https://a.org", "a_b.org", "-a.org", "a" * 64 + ".org")),
    {"host": ".".join(["a" * 60] * 5)},
    *({"image": value} for value in ("orders", "registry.example.org/orders", "registry.example.org:5000/orders")),
    {"image": f"registry.example.org/orders@sha256:{'0' * 64}"},  # there are two
    *({"gateway": value} for value in ("", "gateway", "10.0.3.0/24 # all")),
    {"namespace": "A"},
    {"like": "test"},
    {"route": "none"},
]
RIGHT = {"name": "live", "host": HOST, "image": IMAGE, "gateway": "10.0.3.0/24"}
KUBECTL = """\
#!/bin/sh
[ "$1" = kustomize ] && exec {real} "$@"
echo "$*" | sed 's|--filename=[^ ]*|FILE|' >>{calls}
case "$* " in
*"get namespace"*) exit ${{NO_NAMESPACE:-0}} ;;
*"get secret"*) exit ${{NO_SECRET:-0}} ;;
*"--dry-run=server"*) exit ${{REFUSED:-0}} ;;
*"rollout status"*) exit ${{STUCK:-0}} ;;
*"get job"*${{JOB:-Complete}}*) printf True ;;
esac
"""


@pytest.fixture(params=[FULL, SMALL], ids=["postgres", "sqlite"])
def service(request: pytest.FixtureRequest, rendered: Render, tmp_path: Path) -> Path:
    """A service of the test's own, on each database."""
    return Path(shutil.copytree(rendered(**request.param), tmp_path / "service"))


def make(
    root: Path, target: str, environment: dict[str, str] | None = None, /, **given: str
) -> subprocess.CompletedProcess[str]:
    """Run a target as an owner does."""
    command = ["make", "--silent", "-C", str(root), target, *(f"{key}={value}" for key, value in given.items())]
    environ = clean() | (environment or {})
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def deploy(root: Path, tmp_path: Path, **answers: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run `make deploy`, and what kubectl was asked for, but to render."""
    calls, programs = tmp_path / "calls", tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    calls.write_text("")
    (programs / "kubectl").write_text(KUBECTL.format(real=tool("kubectl"), calls=calls))
    (programs / "kubectl").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = make(root, "deploy", answers | {"PATH": path}, name="live", timeout="5")
    return done, calls.read_text().splitlines()


@pytest.mark.parametrize("like", ["staging", "production"])
@pytest.mark.parametrize("route", ["gateway", "ingress"])
def test_an_overlay_is_whole_and_valid(like: str, route: str, service: Path) -> None:
    done = make(service, "overlay", **RIGHT, like=like, route=route)
    assert done.returncode == 0, done.stderr
    found = objects(service / "deploy" / "live")
    assert list(invalid(found)) + wrong(found) == []
    assert len(kinds(found, "HTTPRoute" if route == "gateway" else "Ingress")) == 1
    assert len(kinds(found, "HTTPRoute", "Ingress")) == 1
    container = containers(only(found, "Deployment", name(service))["spec"]["template"])[-1]
    assert container["image"] == IMAGE
    assert settings(found, container)["HTTP__TRUSTED_HOSTS"] == HOST
    assert settings(found, container)["SERVER__TRUSTED_PROXIES"] == "10.0.3.0/24"
    assert {one["metadata"]["namespace"] for one in found} == {f"{name(service)}-live"}
    assert "example.com" not in "".join(path.read_text() for path in (service / "deploy" / "live").iterdir())


def test_an_overlay_takes_a_namespace_and_a_digest(rendered: Render, tmp_path: Path) -> None:
    root = Path(shutil.copytree(rendered(**PLAIN), tmp_path / "service"))
    image = f"registry.example.org:5000/orders@sha256:{'0' * 64}"
    assert make(root, "overlay", **RIGHT | {"image": image}, namespace="shop").returncode == 0
    found = objects(root / "deploy" / "live")
    assert {each["image"] for _, template in templates(found) for each in containers(template)} == {image}
    assert {one["metadata"]["namespace"] for one in found} == {"shop"}


def test_an_image_that_the_overlay_does_not_name_is_never_deployed(service: Path, tmp_path: Path) -> None:
    make(service, "overlay", **RIGHT)
    kustomization = service / "deploy" / "live" / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace(f"- name: {name(service)}-ops", "- name: other"))
    done, calls = deploy(service, tmp_path)
    assert f"names no registry for {name(service)}-ops" in done.stderr.replace("  ", " ")
    assert calls == []


@pytest.mark.parametrize("given", WRONG, ids=str)
def test_a_wrong_value_is_one_line_and_nothing_is_written(given: dict[str, str], rendered: Render) -> None:
    root = rendered(**SMALL)
    ((key, _),) = given.items()
    command = [root / "ops" / "kubernetes" / "overlay"]
    done = subprocess.run(command, env=clean() | RIGHT | given, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"overlay: {key}")
    assert not (root / "deploy").exists()


def test_an_overlay_is_never_written_over(service: Path) -> None:
    assert make(service, "overlay", **RIGHT).returncode == 0
    (service / "deploy" / "live" / "kustomization.yaml").write_text("mine\n")
    done = make(service, "overlay", **RIGHT)
    assert "deploy/live exists, and is yours" in done.stderr
    assert done.returncode != 0
    assert (service / "deploy" / "live" / "kustomization.yaml").read_text() == "mine\n"
    assert [path.name for path in (service / "deploy").iterdir()] == ["live"]


def test_the_database_is_migrated_before_anything_is_rolled_out(service: Path, tmp_path: Path) -> None:
    make(service, "overlay", **RIGHT)
    done, calls = deploy(service, tmp_path)
    assert done.returncode == 0, done.stderr
    place = f"--namespace={name(service)}-live"
    found = objects(service / "deploy" / "live")
    job = [f"job/{name(service)}-migrate"] * len(kinds(found, "Job"))
    deployed = [f"deployment/{one['metadata']['name']}" for one in kinds(found, "Deployment")]
    assert [" ".join(call.split()[: 3 if "rollout" in call else 2]) for call in calls] == [
        "get namespace",
        "get secret",
        *(f"delete {each}" for each in job),
        "apply --dry-run=server",
        "apply FILE",
        *(f"get {each}" for each in job),
        "apply FILE",
        *(f"rollout status {each}" for each in deployed),
    ]
    first, second = [call for call in calls if call.startswith("apply FILE")]
    assert "app.kubernetes.io/component in (settings, network, volume, migrate)" in first
    assert second == "apply FILE"
    assert all(place in call for call in calls if call.startswith(("delete", "get job", "get secret", "rollout")))


@pytest.mark.parametrize(
    ("answers", "status", "said", "last"),
    [
        ({"NO_NAMESPACE": "1"}, 1, "no namespace", "get namespace"),
        ({"NO_SECRET": "1"}, 1, "a secret is missing", "get secret"),
        ({"REFUSED": "1"}, 1, "the cluster refuses the manifests", "apply --dry-run"),
        ({"JOB": "Failed"}, 1, "the migration did not complete", "logs job"),
        ({"JOB": "Running"}, 1, "the migration did not complete", "logs job"),
        ({"STUCK": "1"}, 1, "does not become ready", "rollout status"),
    ],
)
def test_what_fails_ends_the_deployment_there(
    answers: dict[str, str], status: int, said: str, last: str, rendered: Render, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(rendered(**FULL), tmp_path / "service"))
    make(root, "overlay", **RIGHT)
    done, calls = deploy(root, tmp_path, **answers)
    assert f"Error {status}" in done.stderr
    assert said in done.stderr
    assert calls[-1].startswith(last)
    if last == "logs job":
        assert "apply FILE" not in calls


def test_a_placeholder_and_a_missing_overlay_are_refused_before_the_cluster_is_asked(
    service: Path, tmp_path: Path
) -> None:
    done, calls = deploy(service, tmp_path)
    assert "there is no overlay 'deploy/live'" in done.stderr
    shutil.copytree(service / "ops/kubernetes/overlays/production", service / "deploy/live")
    kustomization = service / "deploy/live/kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("../../base", "../../ops/kubernetes/base"))
    done, more = deploy(service, tmp_path)
    assert "set SERVER__TRUSTED_PROXIES to the network of your gateway's pods" in done.stderr
    without = kustomization.read_text().replace("SERVER__TRUSTED_PROXIES=gateway.example.com", "LOG__ACCESS=true")
    kustomization.write_text(without)  # as an overlay of up to 0.4.0, which relied on the base
    done, more = deploy(service, tmp_path)
    assert "set SERVER__TRUSTED_PROXIES to the network of your gateway's pods" in done.stderr
    kustomization.write_text(without.replace("LOG__ACCESS=true", "SERVER__TRUSTED_PROXIES=10.0.3.0/24"))
    done, more = deploy(service, tmp_path)
    assert "still has the placeholder " in done.stderr
    assert "Error 2" in done.stderr
    assert calls + more == []
