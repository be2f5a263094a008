"""The checks of the manifests: each is shown what it has to find."""

import copy
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.delivery.cluster import Object, containers, invalid, kinds, only, templates
from tests.delivery.manifests import wrong
from tests.delivery.test_kubernetes import FULL, load, mounted, read
from tests.delivery.tools import tool
from tests.live.environment import clean
from tests.matrix.combinations import label

pytestmark = pytest.mark.xdist_group(label(FULL))
SLUG = "my-service"
COMPONENT = "app.kubernetes.io/component"


def _pod(found: list[Object]) -> Object:
    spec: Object = only(found, "Deployment", SLUG)["spec"]["template"]["spec"]
    return spec


def _service(found: list[Object]) -> Object:
    container: Object = _pod(found)["containers"][0]
    return container


def _policy(found: list[Object], name: str) -> Object:
    spec: Object = only(found, "NetworkPolicy", f"{SLUG}-{name}")["spec"]
    return spec


def _configuration(found: list[Object]) -> Object:
    (one,) = kinds(found, "ConfigMap")
    data: Object = one["data"]
    return data


def _first(found: list[Object], kind: str) -> Object:
    spec: Object = kinds(found, kind)[0]["spec"]
    return spec


BROKEN: list[tuple[str, Callable[[list[Object]], object]]] = [
    (
        "does not select its own pods",
        lambda found: _first(found, "Deployment")["selector"]["matchLabels"].update(x="y"),
    ),
    (
        "selects the pods of another",
        lambda found: _first(found, "Deployment")["selector"]["matchLabels"].pop(COMPONENT),
    ),
    ("selects no pod", lambda found: only(found, "Service", SLUG)["spec"]["selector"].update(x="y")),
    ("selects no pod", lambda found: _policy(found, "gateway")["podSelector"]["matchLabels"].update(x="y")),
    ("scales nothing", lambda found: _first(found, "HorizontalPodAutoscaler")["scaleTargetRef"].update(name="other")),
    (
        "does not select one Service",
        lambda found: _first(found, "ServiceMonitor")["selector"]["matchLabels"].pop(COMPONENT),
    ),
    ("listens on 9000", lambda found: _configuration(found).update(PROMETHEUS__PORT="9000")),
    (
        "more than one port",
        lambda found: only(found, "Service", SLUG)["spec"]["ports"].append({"name": "a", "targetPort": "http"}),
    ),
    ("no port of a pod", lambda found: only(found, "Service", SLUG)["spec"]["ports"][0].update(targetPort="web")),
    ("other ports", lambda found: _policy(found, "gateway")["ingress"][0]["ports"].append({"port": 8001})),
    ("no port of the service", lambda found: _first(found, "HTTPRoute")["rules"][0]["backendRefs"][0].update(port=81)),
    ("more than the API", lambda found: _first(found, "HTTPRoute")["rules"][0]["matches"][0]["path"].update(value="/")),
    ("scrapes no port", lambda found: _first(found, "ServiceMonitor")["endpoints"][0].update(port="web")),
    ("may run as root", lambda found: _pod(found)["securityContext"].pop("runAsNonRoot")),
    ("may run as root", lambda found: _pod(found)["securityContext"].update(runAsUser=0)),
    ("anything of the kernel", lambda found: _pod(found)["securityContext"].pop("seccompProfile")),
    ("knows of the cluster", lambda found: _pod(found).pop("automountServiceAccountToken")),
    ("has capabilities", lambda found: _service(found)["securityContext"].pop("capabilities")),
    ("its own files", lambda found: _service(found)["securityContext"].pop("readOnlyRootFilesystem")),
    ("is not bounded", lambda found: _service(found)["resources"]["limits"].clear()),
    ("denied by default", lambda found: found.remove(only(found, "NetworkPolicy", f"{SLUG}-deny"))),
    ("while it stops", lambda found: _pod(found).update(terminationGracePeriodSeconds=30)),
    ("while it stops", lambda found: _configuration(found).update(WORKER__SHUTDOWN_TIMEOUT="60")),
    ("is not probed", lambda found: _service(found).pop("startupProbe")),
    ("keeps nothing", lambda found: _configuration(found).update(UPLOADS__DIRECTORY="/data/elsewhere")),
    ("claims and volumes differ", lambda found: found.remove(kinds(found, "PersistentVolumeClaim")[0])),
    ("volume that it has not", lambda found: _pod(found)["volumes"].pop(1)),
    ("no place for secrets", lambda found: _service(found)["volumeMounts"].pop(0)),
]
INVALID: list[tuple[str, Callable[[list[Object]], object]]] = [
    ("replica", lambda found: _first(found, "Deployment").update(replica=2)),
    ("is not of type", lambda found: _pod(found).update(terminationGracePeriodSeconds="45s")),
    ("does not match", lambda found: _first(found, "HTTPRoute").update(hostnames=["https://example.com"])),
    ("unexpected", lambda found: _first(found, "ServiceMonitor").update(interval="15s")),
    (
        "'expr' is a required property",
        lambda found: _first(found, "PrometheusRule")["groups"][0]["rules"][0].pop("expr"),
    ),
    ("is no name", lambda found: only(found, "Service", SLUG)["metadata"].update(name="My_Service")),
]


@pytest.mark.parametrize(("said", "broken"), BROKEN)
def test_what_is_wrong_is_found(said: str, broken: Callable[[list[Object]], object], rendered: Render) -> None:
    found = copy.deepcopy(read(rendered(**FULL), "production"))
    broken(found)
    assert any(said in line for line in wrong(found)), wrong(found)


@pytest.mark.parametrize(("said", "broken"), INVALID)
def test_what_is_invalid_is_found(said: str, broken: Callable[[list[Object]], object], rendered: Render) -> None:
    found = copy.deepcopy(read(rendered(**FULL), "production"))
    broken(found)
    assert any(said in line for line in invalid(found)), list(invalid(found))


def test_the_fullest_service_has_every_kind_of_object(rendered: Render) -> None:
    found = read(rendered(**FULL), "production")
    assert {one["kind"] for one in found} >= {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "HTTPRoute", "Job", "NetworkPolicy",
        "PersistentVolumeClaim", "PodDisruptionBudget", "PrometheusRule", "Service", "ServiceMonitor",
    }  # fmt: skip
    assert len([each for _, template in templates(found) for each in containers(template)]) >= 3


def test_the_scripts_are_clean(rendered: Render) -> None:
    scripts = [rendered(**FULL) / "ops" / "kubernetes" / each for each in ("overlay", "deploy")]
    done = subprocess.run([tool("shellcheck"), *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_placeholders_of_the_sample_stop_the_start(rendered: Render, tmp_path: Path) -> None:
    secrets = mounted(rendered(**FULL), tmp_path / "secrets", secret="change-me")  # noqa: S106
    done = load(rendered(**FULL), clean() | {"SECRETS_DIR": str(secrets)})
    for variable in ("REDIS__URL", "JWT__SECRET", "AUDIT__KEY"):
        assert f"{variable}: still holds the placeholder" in done.stderr
