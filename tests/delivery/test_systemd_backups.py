"""Backups on one machine: the first one comes with the installation, and a restore by hand is a unit too."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2

from tests.conftest import Render
from tests.delivery.machine import Machine, checkout
from tests.docs.markdown import blocks
from tests.live.service import BOUND, ORDERS, order

ANSWERS: dict[str, Any] = {"database": "sqlite", "extensions": ["audit"], "delivery": ["systemd", "backups"]}


def test_backups_begin_with_the_installation_and_are_restored_as_the_page_says(
    rendered: Render, tmp_path: Path
) -> None:
    root = rendered(**ANSWERS)
    page = blocks((root / "docs/deployment.md").read_text())
    by_hand, restoring = [block.commands for block in page if block.content.startswith("sudo systemctl st")]
    with Machine(tmp_path / "root", checkout(root, tmp_path / "checkout")) as machine:
        machine.settings(LIFECYCLE__DRAIN="0")
        machine.install("--domain", "localhost")
        data = machine.root / "var/lib/my-service"
        (first,) = (data / "backups").glob("*/manifest.json")
        assert json.loads(first.read_text())["database"]
        assert "backup_rows" in (data / "backups/backups.prom").read_text()  # a drill tells of them

        def enter(lines: list[str]) -> None:
            for line in lines:
                command = ["bash", "-c", line.removeprefix("sudo ")]
                subprocess.run(command, env=machine.environment(), check=True, timeout=120)

        orders = f"http://127.0.0.1:{machine.ports['8001']}{ORDERS}"
        placed = httpx2.post(orders, json=order("kept"), timeout=BOUND).json()["id"]
        enter(by_hand)
        assert len([*(data / "backups").glob("*/manifest.json")]) == 2
        lost = httpx2.post(orders, json=order("lost"), timeout=BOUND).json()["id"]
        enter(restoring)
        assert httpx2.get(f"{orders}/{placed}", timeout=BOUND).status_code == 200
        assert httpx2.get(f"{orders}/{lost}", timeout=BOUND).status_code == 404
        assert "audit_trail_restored" in (data / "audit.jsonl").read_text()
        assert "what was there is kept as" in machine.log("my-service-restore@newest.service")
