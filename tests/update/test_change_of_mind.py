"""Options go on and off in a service in use: its data stays, `.env` follows, and everything works after each step."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from copier import VcsRef

from tests.live.environment import clean, interpreter, uv
from tests.live.service import BOUND, ORDERS, free_port, order
from tests.matrix.combinations import Answers
from tests.tree import CHOICES
from tests.update.conftest import Made
from tests.update.next_release import NOW
from tests.update.services import commit, update
from tests.update.test_toggles import ENABLED, alone, enabling

SHARED = {"UV_NO_SYNC": "1", "RATE_LIMIT__ENABLED": "false"}


class InUse:
    """A service under git, with a `.env`."""

    def __init__(self, root: Path, python: Path | None = None) -> None:
        self.root = root
        place = str(python.parents[1]) if python else ""
        self.shared = {"UV_PROJECT_ENVIRONMENT": place, "VIRTUAL_ENV": place, **SHARED} if place else {}
        path = [str(python.parent)] if python else []
        self.environment = (
            clean() | self.shared | {"PATH": os.pathsep.join([*path, str(Path(uv()).parent), os.environ["PATH"]])}
        )

    def run(self, *command: str, status: int = 0) -> str:
        """Run a command of the owner."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == status, done.stdout[-4000:]
        return done.stdout

    def answer(self, **answers: Any) -> None:
        """Change answers of the template."""
        update(self.root, VcsRef.CURRENT, **answers)
        commit(self.root)

    def serve(self, orders: int) -> None:
        """Run `make dev`: it has the orders, and takes one more. Then close its terminal."""
        port = free_port()
        log = self.root.parent / "dev.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                ["make", "dev"],
                cwd=self.root,
                env=self.environment | {"SERVER__PORT": str(port)},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
                deadline = time.monotonic() + 3 * BOUND
                while not ready(http):
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.1)
                if orders:
                    assert http.post(ORDERS, json=order(str(orders))).status_code == 201
                    assert len(http.get(ORDERS).json()["items"]) == orders
        finally:
            os.killpg(process.pid, signal.SIGHUP)
            process.wait(timeout=BOUND)
        deadline = time.monotonic() + BOUND
        while left := processes(self.root):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)


def ready(http: httpx2.Client) -> bool:
    """Return whether a service answers and is ready."""
    with suppress(httpx2.TransportError):
        return http.get("/health/ready").status_code == 200
    return False


def processes(root: Path) -> list[str]:
    """Return the commands of all processes that work in a folder, or name it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if f"{root}/" in f"{command}/" or (place / "cwd").readlink().is_relative_to(root):
                found.append(command)
    return found


@pytest.mark.timeout(300)
def test_options_and_another_database_later(service: Made) -> None:
    base: Answers = {"preset": "minimal", "ci": "none"}
    used = InUse(service(NOW, **base), interpreter("3.13"))
    used.run("python", "-m", "dev", "setup")
    used.run("make", "migrate")
    used.serve(orders=1)
    before = (used.root / ".env").read_bytes()

    used.answer(extensions=["jwt", "audit"])
    assert ".env lacks JWT__SECRET, AUDIT__PATH, AUDIT__KEY: run `make setup`" in used.run("make", "check-migrations")
    said = used.run("python", "-m", "dev", "setup")
    assert ".env: added JWT__SECRET, AUDIT__PATH, AUDIT__KEY; " in said
    assert (used.root / ".env").read_bytes().startswith(before)

    used.answer(extensions=[])
    said = used.run("python", "-m", "dev", "setup")
    assert ".env: no enabled option reads JWT__SECRET, AUDIT__PATH, AUDIT__KEY: " in said
    used.serve(orders=2)

    used.answer(database="postgres")
    assert ".env: DATABASE__URL: " in used.run("python", "-m", "dev", "setup", status=1)
    text = (used.root / ".env").read_text()
    (used.root / ".env").write_text("".join(line for line in text.splitlines(True) if "DATABASE__URL" not in line))
    used.run("python", "-m", "dev", "setup")
    used.run("make", "migrate")
    used.serve(orders=1)

    wrong = used.root / "app" / "features" / "wrong.py"
    wrong.write_text("def f( ):\n  return missing\n")
    used.run("make", "fix", status=2)
    assert wrong.read_text() == "def f():\n    return missing\n"

    (used.root / "app" / "main.py").write_text("<<<<<<< before\n")
    said = used.run("make", "dev", status=2)
    assert "conflict markers: settle them in app/main.py\n" in said
    assert "Traceback" not in said


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("database", CHOICES["database"])
@pytest.mark.parametrize("name", [name for _, name in ENABLED])
def test_each_option_goes_on_and_off_in_a_service_in_use(name: str, database: str, service: Made) -> None:
    on = alone(name)
    if on["database"] != database and name not in [
        *enabling({name}, database)["extensions"],
        *enabling({name}, database)["delivery"],
    ]:
        pytest.skip(f"{name} needs another database")
    on = enabling({name, *on["extensions"], *on["delivery"]}, database)
    off = enabling({*on["extensions"], *on["delivery"]} - {name}, database)
    used = InUse(service(NOW, **off))
    used.run("make", "setup")
    used.serve(orders=1)
    for number, answers in enumerate((on, off, on), 2):
        used.answer(extensions=answers["extensions"], delivery=answers["delivery"])
        for target in ("setup", "check", "test"):
            used.run("make", target)
        commit(used.root)
        used.serve(orders=number)
