"""An owner's manual work in a cluster: restore, go back to an older version, keep uploads in a bucket.

There is no cluster. kubectl is real, and asks an API that has the overlay's CronJobs and keeps the jobs that are made.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.conftest import Render
from tests.delivery.cluster import Object, invalid, kinds, objects, only, templates
from tests.delivery.manifests import wrong
from tests.delivery.test_kubernetes import FULL, SMALL, read
from tests.delivery.test_kubernetes_deploying import RIGHT, make
from tests.delivery.tools import tool
from tests.docs.markdown import blocks
from tests.live.environment import DEFAULT, clean, interpreter
from tests.matrix.combinations import label

pytestmark = pytest.mark.xdist_group(label(FULL))
BATCH = {"groupVersion": "batch/v1", "version": "v1"}
DISCOVERY: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [{"name": "batch", "versions": [BATCH], "preferredVersion": BATCH}],
    },
    "/apis/batch/v1": {
        "kind": "APIResourceList",
        "groupVersion": "batch/v1",
        "resources": [
            {
                "name": f"{kind.lower()}s",
                "singularName": "",
                "namespaced": True,
                "kind": kind,
                "verbs": ["get", "create"],
            }
            for kind in ("CronJob", "Job")
        ],
    },
}
PIPED = " --dry-run=client --output=json | kubectl create --filename=-"
"""Without it kubectl sends Protocol Buffers."""
PATCHES = """\
patches:
  - patch: |-
      $patch: delete
      apiVersion: v1
      kind: PersistentVolumeClaim
      metadata: {name: my-service-uploads}
  - target: {kind: Deployment}
    patch: |-
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: any}
      spec: {template: {spec: {volumes: [{name: uploads, emptyDir: {}, persistentVolumeClaim: null}]}}}
  - target: {kind: CronJob}
    patch: |-
      apiVersion: batch/v1
      kind: CronJob
      metadata: {name: any}
      spec:
        jobTemplate:
          spec: {template: {spec: {volumes: [{name: uploads, emptyDir: {}, persistentVolumeClaim: null}]}}}
"""


@contextmanager
def api(found: list[Object]) -> Iterator[tuple[str, list[Object]]]:
    """Serve the CronJobs; gives the address, and the jobs that are made."""
    made: list[Object] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if "/cronjobs/" in path:
                self.answer(only(found, "CronJob", path.rpartition("/")[2]))
            else:
                self.answer(DISCOVERY.get(path))

        def do_POST(self) -> None:
            made.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(made[-1])

        def answer(self, body: Object | None) -> None:
            content = json.dumps(body).encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", made
        server.shutdown()


def typed(root: Path, page: str, beginning: str) -> list[str]:
    """The commands of a page that begin so."""
    text = (root / "docs" / page).read_text()
    return [line for block in blocks(text) for line in block.commands if line.startswith(beginning)]


@pytest.mark.parametrize("answers", [FULL, SMALL], ids=["postgres", "sqlite"])
def test_the_jobs_that_the_page_makes_restore_and_list(
    answers: dict[str, str], rendered: Render, tmp_path: Path
) -> None:
    root, kubectl = rendered(**answers), tmp_path / "kubectl"
    with api(read(root, "production")) as (url, made):
        kubectl.write_text(f'#!/bin/sh\nexec {tool("kubectl")} "$@" --server={url} --validate=false\n')
        kubectl.chmod(0o755)
        environment = clean() | {"ID": "20260131T031700Z", "HOME": str(tmp_path)}
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
        for command in typed(root, "backups.md", "kubectl create job"):
            piped = command if "|" in command else f"{command}{PIPED}"
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", piped], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
    assert {job["metadata"]["namespace"] for job in made} == {"my-service-production"}
    started = [job["spec"]["template"]["spec"]["containers"][0]["command"] for job in made]
    assert [command[3:] for command in started] == [
        ["restore", "newest", "--yes"],
        ["list"],
        ["restore", "20260131T031700Z", "--yes"],
    ]
    for command in started:
        parse = f"from ops.backups.command import parser; parser().parse_args({command[3:]})"
        done = subprocess.run(
            [interpreter(DEFAULT), "-c", parse], cwd=root, env=clean(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_a_restore_starts_when_it_is_asked_for_and_sees_what_a_backup_sees(rendered: Render) -> None:
    found = read(rendered(**FULL), "production")
    backup, restore = (only(found, "CronJob", f"my-service-{each}")["spec"] for each in ("backup", "restore"))
    assert restore["suspend"] is True
    assert restore["jobTemplate"]["spec"]["backoffLimit"] == 0
    pods = [each["jobTemplate"]["spec"]["template"]["spec"] for each in (backup, restore)]
    assert pods[0]["volumes"] == pods[1]["volumes"]
    assert pods[0]["containers"][0]["volumeMounts"] == pods[1]["containers"][0]["volumeMounts"]


@pytest.mark.parametrize("answers", [FULL, {"delivery": ["docker", "kubernetes", "backups"]}], ids=["a worker", "none"])
def test_what_is_taken_back_or_stopped_is_every_deployment(answers: dict[str, str], rendered: Render) -> None:
    root = rendered(**answers)
    deployed = {one["metadata"]["name"] for one in kinds(read(root, "production"), "Deployment")}
    commands = typed(root, "deployment.md", "kubectl rollout undo") + typed(root, "backups.md", "kubectl scale")
    assert len(commands) == 3
    for command in commands:
        assert set(re.findall(r" deployment/(\S+)", command)) == deployed


def test_where_uploads_go_to_a_bucket_the_claim_can_be_patched_away(rendered: Render, tmp_path: Path) -> None:
    root = Path(shutil.copytree(rendered(**FULL), tmp_path / "service"))
    make(root, "overlay", **RIGHT)
    with (root / "deploy" / "live" / "kustomization.yaml").open("a") as file:
        file.write(PATCHES)
    found = objects(root / "deploy" / "live")
    assert list(invalid(found)) + wrong(found) == []
    volumes = [each for _, template in templates(found) for each in template["spec"]["volumes"]]
    kept = [each for each in volumes if each["name"] == "uploads"]
    assert kept == [{"name": "uploads", "emptyDir": {}}] * len(kept)
    assert len(kept) >= 4
    assert "my-service-uploads" not in {one["metadata"]["name"] for one in kinds(found, "PersistentVolumeClaim")}
