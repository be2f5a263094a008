"""`make load`, run for real: callers of the sample and of pages, a report, and one line and a status for each end."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import Render
from tests.delivery import pipelines
from tests.delivery.callers import ran
from tests.delivery.pipelines import PROVIDERS
from tests.docs.markdown import commands
from tests.live.environment import DEFAULT, interpreter, uv
from tests.live.service import ORDERS, Rendered, Service, free_port, running

pytestmark = pytest.mark.xdist_group("load")
BEARABLE = {"users": "4", "run-time": "2s", "min-rate": "1", "max-p95": "10000"}
"""A load that any machine bears, however busy it is."""
PASSED = r"load test passed: [\d.]+ requests/s, 95 of 100 within \d+ ms, 0 of [1-9]\d* failed"


@pytest.fixture(scope="module")
def rendered_service(rendered: Render, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A service with the sample and its load test, which these tests write to."""
    folder = tmp_path_factory.mktemp("load")
    shutil.copytree(rendered(database="sqlite", extensions=[], delivery=["load_tests"]), folder / "service")
    url = f"sqlite+aiosqlite:///{folder / 'service.db'}"
    service = Rendered(folder / "service", interpreter(DEFAULT), database=url)
    service.migrate()
    return service


@pytest.fixture(scope="module")
def service(rendered_service: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It, running."""
    with running(rendered_service, tmp_path_factory.mktemp("log") / "service.log") as started:
        yield started


def load(service: Rendered, more: str = "", **values: str) -> tuple[int, str, str]:
    """Run the command of the guide with other values: the status of locust, its last line, and all that it printed."""
    page = (service.root / "docs/options/load_tests.md").read_text()
    (command,) = [command for command in commands(page) if command.startswith("make load")]
    for flag, value in (BEARABLE | {name.replace("_", "-"): value for name, value in values.items()}).items():
        command, changed = re.subn(rf"(--{flag}) [^ \"]+", rf"\1 {value}", command)
        assert changed == 1, flag
    done = ran(service, ["bash", "-c", command.removesuffix('"') + f' {more}" --no-print-directory'], within=180)
    status = re.search(r"^make: \*\*\* .* Error (\d+)$", done.stdout, re.MULTILINE)
    assert bool(status) == bool(done.returncode), done.stdout
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("make: ")]
    return int(status[1]) if status else 0, lines[-1], done.stdout


def test_the_sample_is_read_and_written_and_the_report_shows_it(service: Service) -> None:
    status, verdict, printed = load(service.rendered, host=service.url)
    assert status == 0, printed
    assert re.fullmatch(PASSED, verdict)
    for method, name in (("GET", ORDERS), ("POST", ORDERS), ("GET", f"{ORDERS}/{{order_id}}")):
        assert re.search(rf"^{method} +{re.escape(name)} +[1-9]", printed, re.MULTILINE), f"{method} {name}"
    assert service.http.get(ORDERS).json()["total"] >= 4
    report = (service.rendered.root / "var/load/report.html").read_text()
    assert "<!DOCTYPE html>" in report[:100]
    assert "/api/v1/orders/{order_id}" in report


def test_a_threshold_that_is_not_held_is_named_by_the_last_line(service: Service) -> None:
    status, verdict, _ = load(service.rendered, host=service.url, min_rate="1000000", max_p95="0")
    assert status == 1
    rate = r"[\d.]+ requests/s, at least 1e\+06 are wanted \(--min-rate\)"
    slow = r"95 of 100 requests took up to \d+ ms, 0 are allowed \(--max-p95\)"
    assert re.fullmatch(f"load test failed: {rate}; {slow}", verdict)


def test_failures_are_counted_and_the_most_frequent_one_is_named(service: Service) -> None:
    status, verdict, printed = load(service.rendered, "--page /health/live --page /nothing Pages", host=service.url)
    assert status == 1
    found = re.fullmatch(
        r"load test failed: ([\d.]+) of 100 requests failed, 0 may \(--max-errors\); mostly GET /nothing with .*404.*",
        verdict,
    )
    assert found, verdict
    assert 30 < float(found[1]) < 70
    assert re.search(r"^GET +/health/live +\d+ +0\(", printed, re.MULTILINE)


def test_callers_of_a_slice_that_is_gone_are_left_out_and_readiness_is_asked_for(service: Service) -> None:
    scenario = service.rendered.root / "ops/load/orders.py"
    written = scenario.read_text()
    scenario.write_text(written.replace(ORDERS, "/api/v1/deleted"))
    try:
        status, verdict, printed = load(service.rendered, host=service.url)
    finally:
        scenario.write_text(written)
    assert status == 0, printed
    assert re.fullmatch(PASSED, verdict)
    assert f"Orders is left out: {service.url}/api/v1/deleted is not there\n" in printed
    assert re.search(r"^GET +/health/ready +[1-9]", printed, re.MULTILINE)


def test_a_pipeline_loads_the_host_that_it_names_and_keeps_the_report(service: Service, rendered: Render) -> None:
    """Both providers run "make load"; a secret that is not set is empty."""
    answers = {"database": "sqlite", "extensions": [], "delivery": ["load_tests"]}
    jobs = {ci: pipelines.jobs(next(rendered(ci=ci, **answers).rglob("*/load_tests.yml"))) for ci in PROVIDERS}
    ((*_, step, kept),) = (job["steps"] for job in jobs["github"].values())
    (gitlab,) = jobs["gitlab"].values()
    assert (gitlab["script"], gitlab["artifacts"]["paths"]) == ([step["run"]], [kept["with"]["path"]])
    assert {"LOCUST_HOST"} == gitlab["variables"].keys() == step["env"].keys() - {"LOAD_HEADER"}
    report = service.rendered.root / kept["with"]["path"]
    report.unlink(missing_ok=True)
    bearable = " ".join(f"--{flag} {value}" for flag, value in BEARABLE.items())
    named = {"LOCUST_HOST": service.url, "LOAD_HEADER": "", "ARGS": bearable}
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        cwd=service.rendered.root,
        env=service.rendered.environment() | named,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(PASSED, done.stdout)
    assert service.url in report.read_text()


def test_a_service_that_is_gone_is_one_line(rendered_service: Rendered) -> None:
    status, line, printed = load(rendered_service, host=f"http://127.0.0.1:{free_port()}")
    assert status == 3
    assert re.fullmatch(r"load test not run: http://127\.0\.0\.1:\d+ does not answer \(.*refused\): start it .*", line)
    assert len([told for told in printed.splitlines() if not told.startswith("make: ")]) == 2  # and the command


def test_a_value_that_is_none_is_one_line(rendered_service: Rendered) -> None:
    status, line, _ = load(rendered_service, host="http://127.0.0.1:8000", min_rate="many")
    assert (status, line) == (2, "locust: error: argument --min-rate: many is no number from 0 on")


def test_without_the_sample_there_is_no_scenario_of_it(rendered: Render) -> None:
    root = rendered(database="sqlite", extensions=[], delivery=["load_tests"], sample=False)
    assert {path.name for path in (root / "ops/load").iterdir()} >= {"locust.conf", "target.py", "thresholds.py"}
    assert not (root / "ops/load/orders.py").exists()


def test_the_scenarios_are_typed_where_locust_is_and_where_it_is_not(rendered_service: Rendered) -> None:
    named = ["tool", "run", "--python", DEFAULT, "--constraints", "ops/load/requirements.txt", "--from", "locust"]
    command = [uv(), *named, "python", "-c", "import sys; print(sys.executable)"]
    found = subprocess.run(command, cwd=rendered_service.root, capture_output=True, text=True, check=True)
    strict = ["--strict", "--config-file=", "--cache-dir=/dev/null"]
    files = [f"ops/load/{name}.py" for name in ("orders", "target", "thresholds")]
    for python in (found.stdout.strip(), str(rendered_service.python)):
        done = rendered_service.run("mypy", *strict, "--python-executable", python, *files)
        assert done.returncode == 0, done.stdout
