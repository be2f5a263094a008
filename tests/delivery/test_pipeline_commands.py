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
UPDATE = "make template-update bundle=template-update.bundle"
SMALL = [
    UPDATE,
    "ops/propose-update.sh template-update.bundle",
    'if [ -e template-update.bundle ]; then echo made=true >>"$GITHUB_OUTPUT"; fi',
    "uv cache prune --ci",
]
"""The commands that each provider runs beside the targets."""
DOCKER = """\
#!/bin/sh
[ "$1" != login ] || cat >> "$LOG"
echo "$@" >> "$LOG"
[ "$3" != inspect ] || [ ! -e "$SCANNED" ] || printf 'Name: x\\nDigest:    sha256:abc\\n'
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
    (scan,) = [command for command in found if "gitleaks" in command]
    assert without == found & ({*HOSTED, *ELSEWHERE, *MADE, *SMALL, scan} - {"make image", "make drill", "make load"})


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
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.append((self.path, self.headers["authorization"], body))
            self.send_response(500 if self.path == "/broken" else 204)
            self.end_headers()

        def do_GET(self) -> None:
            told.append((self.path, self.headers["authorization"], None))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"value": "short-lived"}')

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
        for audience in ("", "platform"):
            # Both providers give a job a token of some minutes: GitHub by an address, GitLab in a variable.
            variables = {
                "DEPLOY_HOOK": address,
                "IMAGE": "registry/service@sha256:abc",
                "DEPLOY_AUDIENCE": audience or ("none" if ci == "gitlab" else ""),
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/token?api-version=2",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "asking",
                "DEPLOY_TOKEN": "short-lived",
            }
            run = ["bash", "-euo", "pipefail", "-c", block.replace("--retry 3", "--retry 0")]
            done = subprocess.run(run, env=clean() | variables, capture_output=True, text=True, check=False)
            assert done.returncode == status, done.stderr
    image = {"image": "registry/service@sha256:abc"}
    token = [("/token?api-version=2&audience=platform", "Bearer asking", None)] * (ci == "github")
    sent = [[(path, None, image), *token, (path, "Bearer short-lived", image)] for path in ("/deploy", "/broken")]
    assert told == [*sent[0], *sent[1]]
    assert "deploy registry/service@sha256:abc by hand" in done.stdout


class Registry:
    """A pipeline of images beside a `docker` and a `gh` that write down what they are asked."""

    def __init__(self, ci: str, root: Path, place: Path) -> None:
        self.ci, self.place = ci, place
        self.jobs = jobs(root / (".github/workflows/docker.yml" if ci == "github" else ".gitlab/docker.yml"))
        for name, text in {"docker": DOCKER, "gh": '#!/bin/sh\necho "gh $@" >> "$LOG"\n[ -e "$SCANNED" ]\n'}.items():
            (place / name).write_text(text)
            (place / name).chmod(0o755)
        (place / "sleep").symlink_to("/bin/true")
        # GitLab's registry has what is below a project alone, so an image beside the first needs a name of its own.
        self.image = "ghcr.io/ada/orders" if ci == "github" else "ghcr.io/ada/orders/my-service"

    def run(self, job: str) -> tuple[int, list[str]]:
        """Run all steps of a job; the exit status of the last, and what the programs were asked."""
        made = self.jobs[job]
        variables = {
            "LOG": str(self.place / "log"),
            "SCANNED": str(self.place / "scanned"),
            "PATH": f"{self.place}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(self.place / "output"),
            "GITHUB_REPOSITORY": "Ada/Orders",
            "GITHUB_SHA": "123",
            "GITHUB_ACTOR": "ada",
            "GITHUB_REF_NAME": "v1.2.0",
            "CI_COMMIT_SHA": "123",
            "CI_COMMIT_TAG": "v1.2.0",
            "CI_DEFAULT_BRANCH": "main",
            "CI_REGISTRY": "ghcr.io",
            "CI_REGISTRY_USER": "ada",
            "CI_REGISTRY_IMAGE": "ghcr.io/ada/orders",
            "PLATFORMS": "linux/amd64,linux/arm64",
            "IMAGE_PLATFORMS": "linux/amd64,linux/arm64",
            "CACHE_TO": "type=inline",
            "DIGEST": "sha256:abc",
            "DIGEST_OPS": "sha256:abc",
            "TOKEN": "hush",
            "CI_REGISTRY_PASSWORD": "hush",
        }
        if self.ci == "github":
            blocks = [step["run"] for step in made["steps"] if "run" in step]
        else:
            blocks = [*self.jobs[".engine"]["before_script"], *made["script"]]
        (self.place / "log").write_text("")
        for block in blocks:
            run = ["bash", "-eu", "-c", block]
            done = subprocess.run(run, cwd=self.place, env=clean() | variables, check=False, capture_output=True)
            if done.returncode:
                break
        said = (self.place / "log").read_text().splitlines()
        assert said[0] == "hush"
        assert "hush" not in "".join(said[1:])
        return done.returncode, said


@pytest.mark.parametrize("ci", PROVIDERS)
def test_main_pushes_scans_and_only_then_says_that_an_image_is_good(ci: str, rendered: Render, tmp_path: Path) -> None:
    registry = Registry(ci, rendered(ci=ci, **EVERYTHING), tmp_path)
    status, said = registry.run("publish" if ci == "github" else "build")
    assert status == 0
    for image, target in ((registry.image, ""), (f"{registry.image}-ops", "--target ops")):
        (built,) = [line for line in said if "--push" in line and f"--tag {image}:sha-123" in line]
        assert target in built
        assert "--platform linux/amd64,linux/arm64 --cache-from type=registry,ref=" in built
    if ci == "github":
        steps = registry.jobs["publish"]["steps"]
        uses = [step.get("uses", "run").partition("@")[0] for step in steps]
        rest = [use.rpartition("/")[2] for use in uses[uses.index("aquasecurity/trivy-action") :]]
        assert rest == [*["trivy-action"] * 2, *["attest-build-provenance"] * 2]
        pushed = ["${{ steps.push.outputs.image }}", "${{ steps.push-ops.outputs.image }}"]
        assert [step["with"]["image-ref"] for step in steps if "trivy" in step.get("uses", "")] == pushed
        output = (tmp_path / "output").read_text()
        for image in (registry.image, f"{registry.image}-ops"):
            assert f"name={image}\ndigest=sha256:abc\nimage={image}@sha256:abc\n" in output
        return
    assert (tmp_path / "image.env").read_text() == "DIGEST=sha256:abc\nDIGEST_OPS=sha256:abc\n"
    scans = registry.jobs["scan"]["script"]
    assert [scan.rpartition("/")[2] for scan in scans] == ['my-service@$DIGEST"', 'my-service-ops@$DIGEST_OPS"']
    for scan in scans:
        assert scan.startswith("trivy image ")
        assert "--exit-code 1" in scan
    assert set(registry.jobs["accept"]["needs"]) == {"build", "scan"}
    _, said = registry.run("accept")
    for name in (registry.image, f"{registry.image}-ops"):
        assert f"buildx imagetools create --tag {name}:scanned-123 {name}@sha256:abc" in said


@pytest.mark.parametrize("ci", PROVIDERS)
def test_a_release_names_the_image_that_was_scanned_and_builds_none(ci: str, rendered: Render, tmp_path: Path) -> None:
    registry = Registry(ci, rendered(ci=ci, **EVERYTHING), tmp_path)
    status, said = registry.run("release")
    assert status == 1
    assert not [line for line in said if " create " in line]
    (tmp_path / "scanned").touch()
    status, said = registry.run("release")
    assert status == 0
    assert not [line for line in said if " build " in line]
    created = [line for line in said if " create " in line]
    assert created == [
        f"buildx imagetools create --tag {name}:1.2.0 {name}@sha256:abc"
        for name in (f"{registry.image}-ops", registry.image)
    ]
    if ci == "github":
        assert f"gh attestation verify oci://{registry.image}@sha256:abc --repo Ada/Orders" in "\n".join(said)
        assert (tmp_path / "output").read_text().endswith(f"image={registry.image}@sha256:abc\n")
    else:
        assert (tmp_path / "image.env").read_text() == f"IMAGE={registry.image}@sha256:abc\n"
