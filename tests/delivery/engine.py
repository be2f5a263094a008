"""A container engine of the tests' own: Debian's dockerd and Compose, in namespaces beside this machine's.

It has processes, mounts and a network for itself, so it needs no engine on this machine and disturbs none that is
there. It reaches no registry and no internet: what it runs has to be brought, and callers come by one cable.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

import psutil

from tests.delivery import images
from tests.live.environment import alone, clean

PROGRAMS = f"""\
FROM {images.PYTHON}
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends docker.io docker-cli docker-compose iproute2 iptables \\
    && rm -rf /var/lib/apt/lists/*
"""
CGROUPS = "groundwork-tests"
START = """
set -eu
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount -t sysfs sysfs "$ROOT/sys"
mount --rbind /sys/fs/cgroup "$ROOT/sys/fs/cgroup"
mount --rbind /dev "$ROOT/dev"
for folder in run tmp; do mount -t tmpfs -o mode=1777 tmpfs "$ROOT/$folder"; done
mkdir -p "$ROOT$SHARED" "$ROOT/var/lib/docker" "$ROOT/run/host"
mount --bind "$SHARED" "$ROOT$SHARED"
mount --bind "$SHARED/engine" "$ROOT/var/lib/docker"
cd "$ROOT"
pivot_root . run/host
umount --lazy /run/host
ip link set lo up
exec dockerd --exec-opt=native.cgroupdriver=cgroupfs --cgroup-parent=/$CGROUPS
"""
"""The root of the image becomes dockerd's, apart from the folder that both sides see at one place."""
INSIDE = 'cd "$0" && exec "$@"'


class Engine:
    """A running engine. Whoever finds `programs` on the PATH has its `docker`."""

    def __init__(self, process: psutil.Process, programs: Path) -> None:
        self._process, self.programs = process, programs
        network = ip_network("198.18.0.0/15")[process.pid % 32768 * 4]  # for tests between networks: RFC 2544
        self.caller, self.address = str(network + 1), str(network + 2)
        entering = " ".join(self._entering())
        programs.mkdir()
        (programs / "docker").write_text(f'#!/bin/sh\nexec {entering} sh -c \'{INSIDE}\' "$PWD" /usr/bin/docker "$@"\n')
        (programs / "docker").chmod(0o755)

    def _entering(self, *more: str) -> list[str]:
        return ["nsenter", f"--target={self._process.pid}", "--mount", "--net", "--pid", *more]

    def inside(self, *command: str, timeout: float = 60) -> str:
        """Run a program of the engine's own machine, and return what it printed."""
        done = subprocess.run(
            [*self._entering(), *command], capture_output=True, text=True, check=False, timeout=timeout, env=clean()
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def docker(self, *arguments: str, timeout: float = 60) -> str:
        """Ask it something that has to succeed."""
        return self.inside("/usr/bin/docker", *arguments, timeout=timeout)

    def environment(self) -> dict[str, str]:
        """The variables of a user with this engine."""
        return clean() | {"PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}"}

    def connect(self) -> None:
        """Lay a cable from `caller`, which is this machine, to `address`, where everything is published."""
        name = f"gw{self._process.pid}"
        outside = ["nsenter", f"--target={self._process.pid}", "--mount", "ip"]
        for command in (
            [*outside, "link", "add", name, "type", "veth", "peer", "name", "cable", "netns", "/proc/1/ns/net"],
            [*outside, "address", "add", f"{self.caller}/30", "dev", name],
            [*outside, "link", "set", name, "up"],
            [*self._entering("ip"), "address", "add", f"{self.address}/30", "dev", "cable"],
            [*self._entering("ip"), "link", "set", "cable", "up"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def kept(name: str, dockerfile: str, *files: Path, **texts: str) -> str:
    """An image of these lines beside these files and texts; built once, and kept for the next run."""
    images.bases()
    wanted = repr((dockerfile, [path.name for path in files], texts))
    tag = f"localhost/groundwork-{name}:{sha256(wanted.encode()).hexdigest()[:8]}"
    folder = images.STORE / name
    with alone(folder):
        if tag not in images.buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for path in files:
                (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
            for text, content in {**texts, "Dockerfile": dockerfile}.items():
                (folder / text).write_text(content)
            images.bud(folder, tag)
            shutil.rmtree(folder)
    return tag


@contextmanager
def running(shared: Path) -> Iterator[Engine]:
    """Start one for everything below a folder, which it sees at the same place. Nothing of it is left at the end."""
    images.root_only()
    (shared / "engine").mkdir(parents=True)
    with ExitStack() as stack:
        root = stack.enter_context(images.unpacked(kept("engine", PROGRAMS)))
        environ = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "ROOT": str(root),
            "SHARED": str(shared),
            "CGROUPS": CGROUPS,
        }
        apart = ["--mount", "--pid", "--net", "--uts", "--ipc"]
        command = ["unshare", *apart, "--fork", "--kill-child", "sh", "-c", START]
        log = stack.enter_context((shared / "engine.log").open("wb"))
        started = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
        stack.callback(_gone, started, shared)
        engine = _ready(started, shared)
        try:
            yield engine
        finally:
            if left := engine.docker("ps", "--all", "--quiet").split():
                engine.docker("rm", "--force", "--volumes", *left, timeout=120)


def _ready(started: "subprocess.Popen[bytes]", shared: Path) -> Engine:
    """Wait until it answers."""
    engine, deadline = None, time.monotonic() + 60
    while True:
        log = (shared / "engine.log").read_text()
        assert started.poll() is None, log[-4000:]
        assert time.monotonic() < deadline, log[-4000:]
        if engine is None and (children := psutil.Process(started.pid).children()):
            engine = Engine(children[0], shared / "programs")
        if engine and "API listen on" in log:
            engine.connect()
            return engine
        time.sleep(0.1)


def _gone(started: "subprocess.Popen[bytes]", shared: Path) -> None:
    """End it, and with it every process that it has started; then remove what it stored."""
    for process in psutil.Process(started.pid).children():
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        started.wait(timeout=30)
    started.kill()
    started.wait(timeout=10)
    shutil.rmtree(shared / "engine", ignore_errors=True)
    for place in Path("/sys/fs/cgroup").glob(f"**/{CGROUPS}"):
        with suppress(OSError):
            place.rmdir()
