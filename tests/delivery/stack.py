"""A rendered service with everything on an engine, by the commands of its own documentation."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.delivery import engine, fake_images, images, service_image
from tests.live.environment import alone

ARCHIVE = re.compile(r"# Of PostgreSQL's own archive.*?lists/\*\n", re.DOTALL)
"""The one step of the Dockerfile that needs an archive which may not be reached: the stand-in has the same programs."""
LABEL = "org.opencontainers.image.revision"


class Stack:
    """The service in a folder, and what is asked about its containers."""

    def __init__(self, root: Path, running: engine.Engine) -> None:
        self.root, self.engine = root, running

    def make(self, *arguments: str, timeout: float = 600) -> str:
        """Run a target, with the engine as this machine's, and return what it said."""
        command = ["make", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=self.engine.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=timeout,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{self.state()}"
        return done.stdout

    def compose(self, *arguments: str) -> str:
        """`docker compose --file compose.production.yaml`, as the documentation writes it."""
        return self.desk("--file", "compose.production.yaml", *arguments)

    def desk(self, *arguments: str) -> str:
        """`docker compose`, which takes compose.yaml."""
        done = subprocess.run(
            ["docker", "compose", *arguments], cwd=self.root, env=self.engine.environment(), capture_output=True,
            text=True, check=False, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def containers(self) -> dict[str, dict[str, Any]]:
        """All that the engine knows of each container, by its service."""
        there = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self.engine.docker("inspect", *there)) if there else []
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def health(self) -> dict[str, str]:
        """Return the health of each container, or its status where it has no health check."""
        states = {name: each["State"] for name, each in self.containers().items()}
        return {name: state.get("Health", state)["Status"] for name, state in states.items()}

    def state(self) -> str:
        """Return the containers and their logs, to be read after a failure."""
        return self.compose("ps", "--all") + self.compose("logs", "--tail=15")

    def until(self, condition: Callable[[], object], seconds: float = 120) -> None:
        """Wait for something, and show the logs where it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.state()
            time.sleep(0.2)

    def build(self) -> None:
        """Build what the service's images share by buildah: for its first line `docker build` asks a registry."""
        images.bases()
        with alone(images.STORE / "service"):
            images.buildah("rmi", "--prune")  # what an earlier run has left
            for stage in ("runtime", "code"):
                images.bud(self.root, f"localhost/{stage}:latest", f"--target={stage}")
                self.load(f"localhost/{stage}:latest", f"{stage}:latest")

    def release(self, version: str) -> None:
        """Give the engine the images of a version under the names that `make production IMAGE=` asks for."""
        copied = f"COPY --from=others:latest {fake_images.POSTGRES} {fake_images.POSTGRES}\n"
        linked = f"RUN ln -s {fake_images.PROGRAMS}/pg_* /usr/local/bin/\n"
        text, changed = ARCHIVE.subn(copied + linked, (self.root / "Dockerfile").read_text())
        assert changed == 1
        for stage, name in (("service", "my-service"), ("ops", "my-service-ops")):
            _, start, lines = text.partition(f"FROM runtime AS {stage}\n")
            assert start, f"the Dockerfile has no stage {stage}"
            lines = f"FROM runtime:latest\n{lines.partition('FROM ')[0]}"
            lines = lines.replace("--from=code", "--from=code:latest").replace(
                "REVISION=unknown", f"REVISION={version}"
            )
            self.docker_build(lines, f"{name}:{version}", self.root)

    def docker_build(self, lines: str, tag: str, context: Path) -> None:
        """Build an image of what the engine has."""
        file = self.engine.programs / "Dockerfile"
        file.write_text(lines)
        self.engine.docker("build", "--quiet", f"--tag={tag}", f"--file={file}", str(context), timeout=300)

    def load(self, image: str, name: str) -> None:
        """Bring an image to the engine, under another name."""
        archive = self.engine.programs / "image.tar"
        images.buildah("push", "--quiet", image, f"docker-archive:{archive}:{name}")
        self.engine.docker("load", "--input", str(archive), timeout=300)
        archive.unlink()

    def bring_others(self) -> None:
        """Give the engine an image for each tag of others that the compose files name."""
        self.load(fake_images.others(), "others:latest")
        for file in ("compose.production.yaml", "compose.yaml"):
            service_image.without_digests(self.root / file)
            for service in yaml.safe_load((self.root / file).read_text())["services"].values():
                name = service["image"].partition(":")[0]
                if name in fake_images.IMAGES:
                    lines = f"FROM others:latest\n{fake_images.IMAGES[name]}"
                    self.docker_build(lines, service["image"], self.engine.programs)


def rendered(root: Path, running: engine.Engine) -> Stack:
    """A service with everything, locked, on a machine that has its images, its domain and its secrets."""
    stack = Stack(service_image.context(root), running)
    stack.bring_others()
    stack.build()
    (root / ".env").write_text("DOMAIN=localhost\n")
    (root / "production.env").write_text("RATE_LIMIT__ENABLED=false\n")  # tests come more often than any client may
    stack.make("secrets")
    return stack
