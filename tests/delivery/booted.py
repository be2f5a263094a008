"""A machine that boots: Debian 13, systemd itself as its first process, a network of its own; by systemd-nspawn."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.delivery.images import debian, reaching
from tests.delivery.tools import tool
from tests.live.environment import DEFAULT, alone, clean, uv
from tests.live.service import BOUND

BASE = Path(sys.prefix) / "machine"
"""The folder that every machine is a copy of: made once, and kept for the next run."""
PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates,curl,caddy,python3"
CACHE = "/var/cache/uv"
OLD_CGROUPS = ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1", "systemd.unified_cgroup_hierarchy=0"]
"""For its systemd, on a machine whose kernel has control groups of version 1."""
VARIABLES = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "UV_PYTHON": f"/usr/bin/python{DEFAULT}",
    "UV_CACHE_DIR": CACHE,
    "UV_OFFLINE": "1",
}


def base() -> Path:
    """Debian, and the programs that docs/deployment.md asks for; Caddy is newer than Debian's, whose unit it takes."""
    with alone(BASE):
        if not (BASE / "complete").exists():
            debian(BASE / "root", "trixie", PACKAGES)
            (BASE / "root/etc/hosts").write_text("127.0.0.1 localhost\n")
            (BASE / "root/usr/bin/caddy").unlink()
            for program in (uv(), tool("caddy")):
                shutil.copy(program, BASE / "root/usr/bin")
            (BASE / "complete").touch()
    return BASE / "root"


def cache() -> str:
    """Return the folder in which uv keeps what it has fetched on this machine."""
    return subprocess.check_output([uv(), "cache", "dir"], text=True, env=clean()).strip()


class Booted:
    """It runs what is typed there as root. `reboot()` takes it down as a machine goes down, and up again."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root = root
        self._log = log
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._first = 0

    def boot(self) -> None:
        """Start it, and wait until it is up."""
        command = [tool("systemd-nspawn"), "--quiet", f"--directory={self.root}", "--boot", "--machine=booted"]
        command += ["--register=no", "--keep-unit", "--private-network", f"--bind={cache()}:{CACHE}", "--console=pipe"]
        if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
            command += OLD_CGROUPS
        with self._log.open("ab") as log:
            self._nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + BOUND
        while not self._is_up():
            assert self._nspawn.poll() is None, self._log.read_text()[-4000:]
            assert time.monotonic() < deadline, self._log.read_text()[-4000:]
            time.sleep(0.1)

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        for child in psutil.Process(self._nspawn.pid).children():
            if Path(f"/proc/{child.pid}/status").read_text().partition("NSpid:")[2].split("\n")[0].split()[1:] == ["1"]:
                self._first = child.pid
                state = self.run("systemctl", "is-system-running", within=10).stdout.strip()
                return state in {"running", "degraded"}
        return False

    def run(self, *command: str, within: float = 300, text: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command on it."""
        entering = [
            "nsenter",
            f"--target={self._first}",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--net",
            "--root",
            "--wd",
        ]
        named = [f"{name}={value}" for name, value in VARIABLES.items()]
        return subprocess.run(
            [*entering, "env", "-i", *named, *command],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
        )

    def done(self, *command: str, status: int = 0, text: str = "") -> str:
        """Run a command, check its exit status, and return its output on both streams."""
        ended = self.run(*command, text=text)
        said = ended.stdout + ended.stderr
        if ended.returncode != status:
            said += self.run("journalctl", "--no-pager", "--lines=25", "--output=cat").stdout
        assert ended.returncode == status, f"{command}: {ended.returncode}\n{said}"
        return said

    def off(self) -> None:
        """Shut it down."""
        if self._nspawn is None:
            return
        self.run("systemctl", "poweroff", "--no-block", within=30)
        try:
            self._nspawn.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait(timeout=BOUND)
            raise

    def reboot(self) -> None:
        """Down and up."""
        self.off()
        self.boot()


def fetch(root: Path) -> None:
    """Lock the checkout, and fetch what the machine's Python needs, by this machine's network: it has none itself."""
    command = [tool("systemd-nspawn"), "--quiet", f"--directory={root}", "--register=no", "--keep-unit", "--pipe"]
    command += [f"--bind={cache()}:{CACHE}", "--resolv-conf=copy-host", "--chdir=/srv/checkout"]
    command += [
        f"--setenv={name}={value}" for name, value in {**VARIABLES, "UV_OFFLINE": "0", **reaching(root)}.items()
    ]
    command += ["uv", "sync", "--quiet", "--no-dev", "--no-install-project", "--link-mode=copy"]
    fetched = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600
    )
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    shutil.rmtree(root / "srv/checkout/.venv")


@contextmanager
def booted(folder: Path, checkout: Path) -> Iterator[Booted]:
    """A machine with a checkout in /srv/checkout, whose dependencies uv has in its cache."""
    root = folder / "root"
    subprocess.run(["cp", "--archive", base(), root], check=True)
    shutil.copytree(checkout, root / "srv/checkout")
    fetch(root)
    machine = Booted(root, folder / "console.log")
    machine.boot()
    try:
        yield machine
    finally:
        machine.off()
