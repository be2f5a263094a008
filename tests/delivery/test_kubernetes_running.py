"""The service as a pod has it: its settings, its secrets as the kubelet lays them, its probes, and its end."""

import signal
import time
from pathlib import Path

import httpx2
import pytest

from tests.conftest import Render
from tests.delivery.cluster import only, settings
from tests.delivery.test_kubernetes import PLAIN, mounted, name, read
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import BOUND, Rendered, Service, free_port
from tests.matrix.combinations import label

pytestmark = pytest.mark.xdist_group(label(PLAIN))


def test_the_probes_are_served_and_a_stop_drains(rendered: Render, tmp_path: Path) -> None:
    root = rendered(**PLAIN)
    found = read(root, "production")
    pod = only(found, "Deployment", name(root))["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for mount in container["volumeMounts"]:
        (tmp_path / mount["mountPath"].strip("/")).mkdir(parents=True, exist_ok=mount["name"] != "secrets")
    (tmp_path / "run" / "secrets").rmdir()
    metrics = free_port()
    given = {key: value.replace("/data/", f"{tmp_path}/data/") for key, value in settings(found, container).items()}
    given |= {"SERVER__TRUSTED_PROXIES": "10.0.0.0/8"}  # as `make overlay gateway=` writes it
    given |= {"PROMETHEUS__PORT": str(metrics), "SECRETS_DIR": str(mounted(root, tmp_path / "run" / "secrets"))}
    service = Rendered(root, interpreter(DEFAULT), database=given["DATABASE__URL"])
    migrated = service.run(*pod["initContainers"][0]["command"], settings=given)
    assert migrated.returncode == 0, migrated.stdout

    with Service(service, tmp_path / "log", given).ready() as running:
        probes = [container[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")]
        for path in probes:
            assert running.http.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200, path
        assert running.http.get("/metrics", headers={"Host": given["HTTP__TRUSTED_HOSTS"]}).status_code == 404
        assert "http_requests_total" in httpx2.get(f"http://127.0.0.1:{metrics}/metrics").text
        outside = {"Host": given["HTTP__TRUSTED_HOSTS"], "X-Forwarded-For": "203.0.113.7"}  # what a gateway passes on
        assert running.http.get("/health", headers=outside).status_code == 401
        assert (tmp_path / "data" / "sqlite" / "service.db").exists()

        stopped = time.monotonic()
        running.signal(signal.SIGTERM)
        while running.http.get("/health/ready").status_code == 200:
            assert time.monotonic() < stopped + float(given["LIFECYCLE__DRAIN"]), "it does not say that it stops"
        assert running.http.get("/health/live").status_code == 200  # and it serves on meanwhile
        running.process.wait(timeout=BOUND)
        took = time.monotonic() - stopped
    assert float(given["LIFECYCLE__DRAIN"]) <= took < pod["terminationGracePeriodSeconds"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["audit", "logs", "sqlite", "uploads"]
    assert (tmp_path / "data" / "logs" / "a-pod" / "app.log").exists()
