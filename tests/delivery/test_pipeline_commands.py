"""The commands of the pipelines: each is run here or in another test, or says why it cannot be."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Render
from tests.delivery.pipelines import EVERYTHING, PROVIDERS, commands, jobs
from tests.docs.conftest import writable
from tests.live.environment import DEFAULT, clean, interpreter, uv
from tests.releases import git

HOSTED = {
    "make audit": "asks PyPI for its advisories",
    "gitleaks git --redact --verbose": "comes as an image",
    "make drill": "needs a bucket with a backup; the tests of backups run what is behind it",
    "make image": "needs a container engine; test_image.py builds the Dockerfile with another one",
}
"""Commands that need a service that is not here. A test holds the list exact."""
ELSEWHERE = {
    "make check": "live/test_combinations.py",
    "make load": "delivery/test_load.py",
    "make test": "live/test_combinations.py",
}
"""Commands that another test runs."""
MADE = ["make migrate", "make check-migrations", "make check-workflows"]
UPDATE = "make template-update propose=ops/propose-update.sh"
DOCKER = """\
#!/bin/sh
[ "$1" != login ] || cat >> "$LOG"
echo "$@" >> "$LOG"
while [ $# -gt 1 ]; do
    [ "$1" != --metadata-file ] || echo '{"containerimage.digest": "sha256:abc"}' > "$2"
    shift
done
"""


@pytest.mark.parametrize("ci", PROVIDERS)
def test_both_providers_do_all_that_a_change_a_release_and_a_week_need(ci: str, rendered: Render) -> None:
    found = commands(rendered(ci=ci, **EVERYTHING))
    wanted = {*HOSTED, *ELSEWHERE, *MADE, UPDATE} - (
        {"make check-workflows", "make image"} if ci == "gitlab" else set()
    )
    assert wanted <= found
    rest = "\n".join(found - wanted)
    for part in ("--sbom=true --provenance=mode=max", "docker login", "imagetools create", "$DEPLOY_HOOK"):
        assert part in rest
    assert not {command for command in found - wanted if command.startswith("make ")}
    without = commands(rendered(ci=ci, extensions=[], delivery=[], database="sqlite"))
    assert without == found & (
        {*HOSTED, *ELSEWHERE, *MADE, UPDATE, "uv cache prune --ci"} - {"make image", "make drill", "make load"}
    )


def test_what_is_run_elsewhere_is_run_there() -> None:
    tests = Path(__file__).parent.parent
    for command, where in ELSEWHERE.items():
        target = command.removeprefix("make ")
        assert re.search(rf'["\s]{target}"', (tests / where).read_text()), f"{where} runs no {command}"


def test_what_needs_no_hosted_service_is_run(rendered: Render, tmp_path: Path) -> None:
    root = writable(rendered(ci="github", **EVERYTHING), tmp_path / "service")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Start")
    shared = interpreter(DEFAULT).parents[1]
    environment = clean() | {"UV_PROJECT_ENVIRONMENT": str(shared), "UV_NO_SYNC": "1", "VIRTUAL_ENV": str(shared)}
    environment["PATH"] = f"{Path(uv()).parent}{os.pathsep}{environment['PATH']}"
    assert set(MADE) < commands(root)
    for command in [*MADE, UPDATE]:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "is the newest version of the template" in done.stdout


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A platform that is told what to run."""
    told: list[Any] = []

    class Platform(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(500 if self.path == "/broken" else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Platform) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", told
        server.shutdown()


@pytest.mark.parametrize("ci", PROVIDERS)
def test_a_deployment_tells_the_platform_the_image_and_is_red_where_it_refuses(
    ci: str, rendered: Render, hook: tuple[str, list[Any]]
) -> None:
    (block,) = [command for command in commands(rendered(ci=ci, **EVERYTHING)) if "DEPLOY_HOOK" in command]
    url, told = hook
    for address, status in ((f"{url}/deploy", 0), (f"{url}/broken", 22), ("", 0)):
        variables = {"DEPLOY_HOOK": address, "IMAGE": "registry/service@sha256:abc"}
        run = ["bash", "-euo", "pipefail", "-c", block.replace("--retry 3", "--retry 0")]
        done = subprocess.run(run, env=clean() | variables, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
    assert told == [{"image": "registry/service@sha256:abc"}] * 2
    assert "deploy registry/service@sha256:abc by hand" in done.stdout


@pytest.mark.parametrize("ci", PROVIDERS)
def test_a_release_pushes_scans_and_only_then_names_the_version(ci: str, rendered: Render, tmp_path: Path) -> None:
    root, log = rendered(ci=ci, **EVERYTHING), tmp_path / "log"
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    path = root / (".github/workflows/docker.yml" if ci == "github" else ".gitlab/docker.yml")
    every_job = jobs(path)
    if ci == "github":
        steps = every_job["release"]["steps"]
        blocks = [step["run"] for step in steps if "run" in step]
        uses = [step.get("uses", "run").partition("@")[0] for step in steps]
        rest = [use.rpartition("/")[2] for use in uses[uses.index("aquasecurity/trivy-action") :]]
        assert rest == [*["trivy-action"] * 2, *["attest-build-provenance"] * 2, "run", "run"]
        pushed = ["${{ steps.push.outputs.image }}", "${{ steps.push-ops.outputs.image }}"]
        assert [step["with"]["image-ref"] for step in steps if "trivy" in step.get("uses", "")] == pushed
        assert [step["env"]["IMAGE"] for step in steps[-2:]] == pushed[::-1]
    else:
        blocks = [
            *every_job[".engine"]["before_script"],
            *every_job["build"]["script"],
            *every_job["release"]["script"],
        ]
        assert [scan.rpartition("/")[2] for scan in every_job["scan"]["script"]] == [
            'my-service:sha-$CI_COMMIT_SHA"',
            'my-service-ops:sha-$CI_COMMIT_SHA"',
        ]
        for scan in every_job["scan"]["script"]:
            assert scan.startswith("trivy image ")
            assert "--exit-code 1" in scan
    # GitLab's registry has what is below a project alone, so an image beside the first needs a name of its own.
    name = "ghcr.io/ada/orders" if ci == "github" else "ghcr.io/ada/orders/my-service"
    variables = {
        "LOG": str(log),
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_REPOSITORY": "Ada/Orders",
        "GITHUB_SHA": "123",
        "GITHUB_ACTOR": "ada",
        "GITHUB_REF_NAME": "v1.2.0",
        "CI_COMMIT_SHA": "123",
        "CI_COMMIT_TAG": "v1.2.0",
        "CI_REGISTRY": "ghcr.io",
        "CI_REGISTRY_USER": "ada",
        "CI_REGISTRY_IMAGE": "ghcr.io/ada/orders",
        "IMAGE": f"{name}@sha256:abc" if ci == "github" else f"{name}:sha-123",
    }
    secret = {"TOKEN": "hush", "CI_REGISTRY_PASSWORD": "hush"}
    if ci == "github":
        blocks[-2] = f"IMAGE={name}-ops@sha256:abc\n{blocks[-2]}"  # as its `env` says
    for block in blocks:
        run = ["bash", "-euo", "pipefail", "-c", block]
        subprocess.run(run, cwd=tmp_path, env=clean() | variables | secret, check=True)
    said = log.read_text().splitlines()
    assert said[0] == "hush"
    assert "hush" not in "".join(said[1:])
    for image, target in ((name, ""), (f"{name}-ops", "--target ops")):
        (built,) = [line for line in said if "--push" in line and f"--tag {image}:sha-123" in line]
        assert target in built
    assert said[-1] == f"buildx imagetools create --tag {name}:1.2.0 {variables['IMAGE']}"
    assert said[-2].startswith(f"buildx imagetools create --tag {name}-ops:1.2.0 ")
    if ci == "github":
        output = (tmp_path / "output").read_text()
        for image in (name, f"{name}-ops"):
            assert f"name={image}\ndigest=sha256:abc\nimage={image}@sha256:abc\n" in output
