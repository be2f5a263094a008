"""docs/deployment.md on a machine with systemd itself: an installation, secrets, an upgrade, a restore and a reboot."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.delivery.booted import Booted, booted
from tests.delivery.machine import NAME
from tests.live.service import ORDERS, order
from tests.render import render

pytestmark = [pytest.mark.full, pytest.mark.xdist_group("booted"), pytest.mark.timeout(1200)]
INSTALL = "/srv/checkout/ops/systemd/install.sh"
INSTANCES = [f"{NAME}@8000", f"{NAME}@8001"]
PROCESSES = [*INSTANCES, f"{NAME}-worker"]
SETTINGS = "WORKER__URL=redis://127.0.0.1:1/0\nRATE_LIMIT__ENABLED=false\n"
MOST_EXPOSED = 1.5
"""Of 10, as `systemd-analyze security` counts what a process may do."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """One for an hour of its life: each test begins where the one before has ended."""
    folder = tmp_path_factory.mktemp("booted")
    answers = {"preset": "production", "database": "sqlite", "delivery": ["systemd", "backups"]}
    with booted(folder, render(folder / "checkout", answers)) as found:
        yield found


def ask(machine: Booted, path: str, *more: str) -> tuple[int, str]:
    """The status and the body of an answer that comes through the proxy's TLS."""
    command = ["curl", "--silent", "--insecure", "--max-time", "30", "--write-out", "\n%{http_code}", *more]
    body, _, status = machine.run(*command, f"https://localhost{path}").stdout.rpartition("\n")
    return int(status), body


def active(machine: Booted) -> list[str]:
    """Return the processes that run."""
    return [unit for unit in PROCESSES if machine.run("systemctl", "is-active", unit).stdout.strip() == "active"]


def test_a_setting_that_is_missing_is_told_and_nothing_serves(machine: Booted) -> None:
    said = machine.done(INSTALL, "--domain", "localhost", status=1)
    assert "WORKER__URL: is required" in said
    assert "nothing serves" in said
    assert active(machine) == []


def test_it_is_installed_without_a_secret_and_serves(machine: Booted) -> None:
    machine.done("tee", "--append", f"/etc/{NAME}/settings.env", text=SETTINGS)
    assert "serves at https://localhost" in machine.done(INSTALL, "--domain", "localhost")
    assert active(machine) == PROCESSES
    status, body = ask(machine, ORDERS, "--json", json.dumps(order("first")))
    assert status == 201, body
    assert [ask(machine, path)[0] for path in ("/health", "/metrics")] == [404, 404]
    assert machine.done("systemctl", "--failed", "--no-legend") == ""


@pytest.mark.parametrize("unit", [*PROCESSES, f"{NAME}-migrate", f"{NAME}-backups"])
def test_a_process_may_do_little(machine: Booted, unit: str) -> None:
    said = machine.done("systemd-analyze", "security", "--no-pager", unit)
    assert float(said.rpartition(f"{unit}.service: ")[2].split()[0]) <= MOST_EXPOSED, said


def test_backups_begin_with_the_installation(machine: Booted) -> None:
    for unit in (f"{NAME}-backups", f"{NAME}-drill"):
        machine.done("systemctl", "start", unit)  # waits for the first one, where it is under way
        assert machine.done("systemctl", "is-enabled", f"{unit}.timer").strip() == "enabled"
    assert "are what was backed up" in machine.done("journalctl", "--unit", f"{NAME}-drill", "--output=cat")


def test_an_upgrade_and_a_new_secret_fail_no_request(machine: Booted) -> None:
    machine.done("install", "--mode=600", "/dev/stdin", f"/etc/{NAME}/secrets/HEALTH__KEY", text="a-key-of-operators")
    main = machine.root / "srv/checkout/app/main.py"
    main.write_text(main.read_text() + "# of the next version\n")
    answers: list[int] = []
    over = Event()

    def call() -> None:
        while not over.is_set():
            answers.append(ask(machine, ORDERS)[0])

    caller = Thread(target=call)
    caller.start()
    before = machine.done("readlink", f"/opt/{NAME}/current")
    try:
        machine.done(INSTALL)
    finally:
        over.set()
        caller.join()
    assert machine.done("readlink", f"/opt/{NAME}/current") != before
    assert (set(answers), len(answers) > 20) == ({200}, True)
    asked = ["curl", "--silent", "--header", "X-Health-Key: a-key-of-operators", "http://127.0.0.1:8001/health"]
    assert json.loads(machine.done(*asked, "--header", "X-Forwarded-For: 203.0.113.9"))["status"] in {"ok", "degraded"}


def test_a_backup_is_restored_as_the_page_says(machine: Booted) -> None:
    machine.done("systemctl", "start", f"{NAME}-backups")
    assert ask(machine, ORDERS, "--json", json.dumps(order("second")))[0] == 201
    machine.done("systemctl", "stop", *PROCESSES)
    machine.done("systemctl", "start", f"{NAME}-restore@newest")
    machine.done("systemctl", "restart", f"{NAME}-migrate", *PROCESSES)
    _, body = ask(machine, ORDERS)
    assert "first" in body
    assert "second" not in body


def test_after_a_reboot_everything_is_back(machine: Booted) -> None:
    machine.reboot()
    deadline = time.monotonic() + 90
    while active(machine) != PROCESSES:
        assert time.monotonic() < deadline, machine.done("systemctl", "--failed")
        time.sleep(0.5)
    status, body = ask(machine, ORDERS)
    assert (status, "first" in body) == (200, True)


def test_it_goes_and_leaves_what_is_the_owners(machine: Booted) -> None:
    machine.done(INSTALL, "--uninstall")
    assert active(machine) == []
    assert not Path(machine.root / "opt" / NAME).exists()
    assert Path(machine.root / "var/lib" / NAME / "audit.jsonl").exists()
