"""Images without a registry, a daemon or an engine: built by buildah, started by unshare, as their own user."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.delivery.tools import tool
from tests.live.environment import alone, uv

STORE = Path(sys.prefix) / "images"
"""The folder of the images and of their base: made once, and kept for the next run."""
PYTHON, UV = "docker.io/library/python:3.13-slim-trixie", "ghcr.io/astral-sh/uv:0.13.0"
"""Base images of the Dockerfile. No registry is asked: both are made here, of Debian's packages and of uv's wheel."""
PASSED_ON = {"SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX"}
"""Variables for this machine's access to packages: the base sets them in the build, so that the Dockerfile need not."""
UNWANTED = ["usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists"]
CONTAINER = """
set -eu
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs -o mode=1777 tmp "$ROOT/tmp"
for folder in $FOLDERS; do
    target=$ROOT${folder#*=}
    if [ ! -e "$target" ]; then mkdir -p "${target%/*}" && touch "$target"; fi
    mount --bind "${folder%%=*}" "$target"
done
exec chroot "$ROOT" setpriv --reuid="${AS%:*}" --regid="${AS#*:}" --clear-groups --no-new-privs \
    --bounding-set=-all --inh-caps=-all "$@"
"""
"""The work of an engine: a read-only root, /tmp in memory, no privileges, and the command as process 1."""


def root_only() -> None:
    """Mounts are root's, as an engine is."""
    assert os.geteuid() == 0, "containers are started by root: run the tests as root, as CI does"


def buildah(*arguments: str, timeout: float = 600) -> str:
    """Run buildah on a store of our own, and return what it printed."""
    places = ["--root", str(STORE / "store"), "--runroot", str(STORE / "run"), "--storage-driver", "vfs"]
    command = [tool("buildah"), *places, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, f"buildah {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


def bud(context: Path, tag: str, *arguments: str) -> None:
    """Build a folder's Dockerfile; nothing is pulled."""
    buildah("bud", "--isolation=chroot", "--pull-never", "--format=docker", f"--tag={tag}", *arguments, str(context))


def debian(root: Path, suite: str, packages: str) -> None:
    """Lay Debian's base system into a folder, with more packages; what was fetched is kept."""
    root_only()
    shutil.rmtree(root, ignore_errors=True)
    kept = STORE / "packages"
    kept.mkdir(parents=True, exist_ok=True)
    wanted = ["--variant=minbase", f"--include={packages}", f"--cache-dir={kept}"]
    command = [tool("debootstrap"), *wanted, suite, str(root)]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr


def reaching(root: Path) -> dict[str, str]:
    """The variables by which what runs below a root reaches packages as this machine does; it gets certificates too."""
    environment = {name: os.environ[name] for name in sorted(PASSED_ON & os.environ.keys())}
    if "SSL_CERT_FILE" in environment:
        certificates = "/etc/ssl/certs/ca-certificates.crt"
        shutil.copyfile(environment["SSL_CERT_FILE"], root / certificates.lstrip("/"))
        environment["SSL_CERT_FILE"] = certificates
    return environment


def bases() -> None:
    """Make what the Dockerfile begins with, unless an earlier run has."""
    with alone(STORE / "bases"):
        if (STORE / "complete").exists():
            return
        shutil.rmtree(STORE / "base", ignore_errors=True)
        root = STORE / "base" / "rootfs"
        debian(root, "trixie", "python3,ca-certificates")
        for folder in UNWANTED:
            shutil.rmtree(root / folder)
        _store(root)


def _store(root: Path) -> None:
    """The two images, of Debian's files and of uv's wheel."""
    lines = [f'ENV {name}="{value}"' for name, value in reaching(root).items()]
    link = "RUN ln -s /usr/bin/python3 /usr/local/bin/python3 && ln -s python3 /usr/local/bin/python"
    (root.parent / "Dockerfile").write_text("\n".join(["FROM scratch", "COPY rootfs /", *lines, link, ""]))
    bud(root.parent, PYTHON)
    wheel = STORE / "base" / "uv"
    wheel.mkdir()
    shutil.copy(uv(), wheel / "uv")
    (wheel / "Dockerfile").write_text("FROM scratch\nCOPY uv /uv\n")
    bud(wheel, UV)
    shutil.rmtree(STORE / "base")
    (STORE / "complete").touch()


def size(image: str) -> float:
    """Megabytes on the disk, with all that it is built on."""
    found: list[dict[str, Any]] = json.loads(buildah("images", "--json", image))
    number, unit = found[0]["size"].split()
    return float(number) * {"MB": 1, "GB": 1000}[unit]


def configuration(image: str) -> dict[str, Any]:
    """Return the configuration that an engine reads: Env, User, WorkingDir, Cmd, Healthcheck, Labels."""
    found: dict[str, Any] = json.loads(buildah("inspect", "--type=image", image))["Docker"]["config"]
    return found


class Container:
    """A container of an image, started as its own configuration says. `process` is its first process."""

    def __init__(
        self, config: dict[str, Any], started: subprocess.Popen[bytes], variables: list[str], log: Path
    ) -> None:
        self.config, self.log, self._started, self._variables = config, log, started, variables
        deadline = time.monotonic() + 10
        while not (children := psutil.Process(started.pid).children()):
            assert time.monotonic() < deadline, "the container did not start"
            time.sleep(0.01)
        self.process = children[0]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run something beside it, as `docker exec` and the health check do."""
        user, group = self.config["User"].split(":")
        enter = ["nsenter", f"--target={self.process.pid}", "--mount", "--pid", "--root", "--wd"]
        enter += [f"--setuid={user}", f"--setgid={group}", "env", "-i", *self._variables]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=False, timeout=30)

    def health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's HEALTHCHECK."""
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*command)

    def wait(self, seconds: float = 60) -> int:
        """Its exit status, once it has ended."""
        return self._started.wait(timeout=seconds)


@contextmanager
def unpacked(image: str) -> Iterator[Path]:
    """The file system of an image, as a folder."""
    bases()
    root_only()
    name = buildah("from", "--pull-never", image)
    try:
        yield Path(buildah("mount", name))
    finally:
        buildah("rm", name)


@contextmanager
def running(
    root: Path,
    config: dict[str, Any],
    log: Path,
    *,
    folders: Mapping[Path, str] | None = None,
    settings: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
) -> Iterator[Container]:
    """Start a container; `folders` of this machine are mounted in it. It listens on this machine's own addresses."""
    folders = folders or {}
    for place in [place for place in folders.values() if not place.startswith("/tmp/")]:  # noqa: S108  # the container's
        (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
    variables = [*config["Env"], *(f"{name}={value}" for name, value in (settings or {}).items())]
    environ = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "ROOT": str(root),
        "AS": config["User"],
        "FOLDERS": " ".join(f"{source}={target}" for source, target in folders.items()),
    }
    full = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CONTAINER, "container"]
    full += ["env", "-i", f"--chdir={config['WorkingDir']}", *variables, *(command or config["Cmd"])]
    with log.open("ab") as output:
        process = subprocess.Popen(full, env=environ, stdout=output, stderr=output)
    try:
        yield Container(config, process, variables, log)
    finally:
        process.kill()
        process.wait(timeout=10)
