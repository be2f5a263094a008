"""The alerts of backups hear of each backup: on one machine, beside Compose and in a cluster."""

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Render
from tests.delivery.cluster import kinds, objects
from tests.delivery.machine import NAME, Machine, checkout
from tests.extensions.prometheus_server import Prometheus, promtool, scraping
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered, running

ANSWERS: dict[str, Any] = {
    "database": "sqlite",
    "extensions": ["prometheus"],
    "delivery": ["docker", "kubernetes", "systemd", "backups"],
    "ci": "none",
}
SUCCESS = 'max(backup_last_success_timestamp_seconds{{service="my-service", command="{}"}})'
PENDING = 'max(ALERTS{{alertname="{}"}})'
GONE = 'absent(ALERTS{{alertname="{}"}})'


@pytest.fixture
def service(rendered: Render) -> Path:
    """A service with backups that is delivered in each way."""
    return rendered(**ANSWERS)


def told(server: Prometheus, command: str, alert: str) -> None:
    """Wait until the server has heard that a command has succeeded."""
    server.until(SUCCESS.format(command))
    server.until(GONE.format(alert))


def test_on_one_machine_the_instances_tell_of_what_the_timers_start(service: Path, tmp_path: Path) -> None:
    with Machine(tmp_path / "root", checkout(service, tmp_path / "checkout")) as machine:
        machine.install("--domain", "localhost")
        calls = machine.calls()
        assert all(f"--quiet enable --now {NAME}-{timer}.timer" in calls for timer in ("backups", "drill"))
        folder = Path(shutil.copytree(machine.checkout / "ops", tmp_path / "ops"))
        configuration = folder / "systemd" / "prometheus.yaml"
        text = configuration.read_text().replace("../prometheus", str(folder / "prometheus"))
        configuration.write_text(text.replace("127.0.0.1:8001", f"127.0.0.1:{machine.ports['8001']}"))
        with scraping(configuration, tmp_path / "server", port=int(machine.ports["8000"])) as server:
            told(server, "backup", "BackupMissing")
            told(server, "drill", "RestoreDrillMissing")
            told(server, "verify", "BackupsNotVerified")
            server.until("min(backup_disk_available_bytes)", least=1)
            server.until("count(backup_rows)", least=2)  # each instance tells it
            (machine.root / "var/lib" / NAME / "backups/backups.prom").unlink()
            for alert in ("BackupMissing", "RestoreDrillMissing", "BackupsNotVerified"):
                server.until(PENDING.format(alert))


def compose(service: Path) -> dict[str, Any]:
    """The containers of a machine in production."""
    found: dict[str, Any] = yaml.safe_load((service / "compose.production.yaml").read_text())["services"]
    return found


def looping(service: Path, folder: Path, **programs: str) -> None:
    """Run the command of the container that makes backups, with these programs in place of its own."""
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    command = [word.replace("$$", "$") for word in compose(service)["backups"]["command"]]
    subprocess.run(command, env={"PATH": f"{folder}:/usr/bin:/bin"}, cwd=service, check=False, timeout=60)


def test_beside_compose_the_service_tells_of_what_another_container_leaves(service: Path, tmp_path: Path) -> None:
    def here(name: str) -> dict[str, str]:
        given = compose(service)[name]["environment"]
        assert "data:/data" in compose(service)[name]["volumes"]
        return {name: value.replace("/data", str(data)) for name, value in given.items() if "/data" in value}

    data = tmp_path / "data"
    data.mkdir()
    made = Rendered(service, interpreter(DEFAULT), database=here("app")["DATABASE__URL"])
    made.migrate()
    folder = Path(shutil.copytree(service / "ops/prometheus", tmp_path / "prometheus"))
    configuration = yaml.safe_load((service / "ops/docker/prometheus.yaml").read_text())
    (job,) = configuration["scrape_configs"]
    (names,) = job.pop("dns_sd_configs")
    assert (names["names"], names["port"]) == (["app"], int(compose(service)["app"]["environment"]["PROMETHEUS__PORT"]))
    job["static_configs"] = [{"targets": ["127.0.0.1:8000"]}]  # no server here knows names of containers
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    with (
        running(made, tmp_path / "service.log", here("app")) as process,
        scraping(folder / "prometheus.yaml", tmp_path / "server", port=process.port) as server,
    ):
        for alert in ("BackupMissing", "RestoreDrillMissing"):
            server.until(PENDING.format(alert))
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in here("backups").items())
        python = f'SERVICE__ENVIRONMENT=production {given} exec {made.python} "$@"'
        looping(service, tmp_path / "bin", python=python, sleep="kill $PPID")
        told(server, "backup", "BackupMissing")
        told(server, "drill", "RestoreDrillMissing")
        told(server, "verify", "BackupsNotVerified")


def test_beside_compose_there_is_a_backup_each_day_and_a_check_and_a_drill_each_week(
    service: Path, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    many = f'echo "$1" >>{calls}; [ "$(grep -c 86400 {calls})" -lt 14 ] || kill $PPID'
    looping(service, tmp_path / "bin", python=f'echo "$3" >>{calls}', sleep=many)
    week = ["backup", "verify", "drill", "86400", *["backup", "86400"] * 6]
    assert calls.read_text().split() == [*week, *week]


def test_in_a_cluster_what_is_known_of_the_jobs_takes_the_place_of_the_file(service: Path, tmp_path: Path) -> None:
    for rule in kinds(objects(service / "ops/kubernetes/overlays/production"), "PrometheusRule"):
        (tmp_path / f"{rule['metadata']['name']}.yaml").write_text(yaml.safe_dump(rule["spec"]))
    shutil.copy(Path(__file__).with_name("cronjobs.yaml"), tmp_path)
    promtool("test", "rules", "cronjobs.yaml", cwd=tmp_path)
