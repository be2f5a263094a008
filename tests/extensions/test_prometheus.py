"""A real Prometheus server scrapes a generated service with the files that it ships: each name in them is there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.extensions.prometheus_server import Prometheus, promtool, scraping
from tests.live.conftest import Make
from tests.live.service import ORDERS, Rendered, Service, order, running
from tests.manifests import EXTENSIONS
from tests.releases import git, overlay
from tests.render import render
from tests.tree import CHOICES, MANIFESTS

CONFIGURATION = Path("ops/prometheus/prometheus.yaml")
RULES = Path("ops/prometheus/alerts.yaml")
WORLDS = Path(__file__).parent / "alerts"
"""The folder of the series that promtool is given, for the alerts of each part."""
ALERTING = ["prometheus", *(name for name in MANIFESTS if (EXTENSIONS / name / "deploy" / "alerts.yaml").exists())]
"""Every part that has alerts."""
BESIDE = {
    name
    for path in EXTENSIONS.glob("*/files/ops/**/metrics.py")
    for name in re.findall(r'^    "([a-z_]+)": ', path.read_text(), re.MULTILINE)
}
"""Metrics that a tool beside the service leaves in a file, and the service itself does not have."""


def with_alerts_of(rendered: Make, *names: str) -> Path:
    """The files of a service with these parts, on the database that all of them work with."""
    enabled = {
        question: [name for name in CHOICES[question] if name in {"prometheus", *names}]
        for question in ("extensions", "delivery")
    }
    return rendered(database="postgres", migrated=False, url="", **enabled).root


@pytest.fixture(scope="module")
def files(rendered: Make) -> Path:
    """A service with the alerts of every part."""
    return with_alerts_of(rendered, *ALERTING)


@pytest.fixture(scope="module")
def service(rendered: Make, files: Path) -> Rendered:
    """A service whose owner has added a slice that tells of everything, with the alerts of every part."""
    made = rendered(copy=True, extensions=["prometheus", "redis", "outbound", "worker"])
    (made.root / RULES).write_text((files / RULES).read_text())
    slices = made.root / "app" / "features"
    (slices / "telling.py").write_text((Path(__file__).parent / "slices" / "telling.py").read_text())
    listed = (slices / "__init__.py").read_text()
    listed = listed.replace("features import orders", "features import orders, telling")
    (slices / "__init__.py").write_text(
        listed.replace("[orders.component()]", "[orders.component(), telling.component()]")
    )
    return made


@pytest.fixture(scope="module")
def alive(service: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Prometheus]]:
    """The service after some traffic, and a server that has seen it."""
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        running(service, folder / "service.log") as process,
        scraping(service.root / CONFIGURATION, folder / "server", port=process.port) as server,
    ):
        for number in range(3):
            traffic(process, number)
            server.until('http_requests_total{route="/telling"}', number + 1)
        yield process, server


def traffic(process: Service, number: int) -> None:
    """Requests of every kind."""
    assert process.http.post(ORDERS, json=order(f"A-{number}")).status_code == 201
    assert process.http.get(ORDERS).status_code == 200
    assert process.http.get(f"/nothing/{number}").status_code == 404
    assert process.http.post("/telling").status_code == 200
    assert process.http.post("/telling/failure").status_code == 500


def alerts(root: Path) -> list[dict[str, Any]]:
    """Every alert of a service."""
    loaded = yaml.safe_load((root / RULES).read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def panels(root: Path) -> list[tuple[str, str]]:
    """Each title and expression of the dashboard, with its variables set."""
    dashboard = json.loads((root / "ops/grafana/dashboard.json").read_text())
    found = []
    for panel in [panel for panel in dashboard["panels"] if panel["type"] != "row"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$job", "my-service")
            expression = expression.replace("$namespace", ".*")
            found.append((panel["title"], expression.replace("$route", ".*")))
    return found


def names(expressions: list[str]) -> set[str]:
    """The metrics that expressions name."""
    return set(re.findall(r"\b([a-z_]+)\{", "\n".join(expressions))) - {"up"}


@pytest.mark.parametrize("url", ["", "https://example.com/ada/orders/"])
def test_the_files_are_what_the_server_takes(rendered: Make, url: str) -> None:
    root = rendered(extensions=["prometheus"], repository_url=url, migrated=False).root
    promtool("check", "config", CONFIGURATION, cwd=root)
    assert re.search(r"\b\d\d rules found", promtool("check", "rules", RULES, cwd=root))
    links = [rule["annotations"].get("runbook_url") for rule in alerts(root)]
    if url:
        assert all(link.startswith(f"{url}blob/main/docs/") for link in links)
    else:
        assert set(links) == {None}, "a path is no link"


@pytest.mark.parametrize("name", ALERTING)
def test_each_alert_fires_when_it_has_to_and_only_then(name: str, rendered: Make, tmp_path: Path) -> None:
    root = with_alerts_of(rendered, name)
    cases = (WORLDS / f"{name}.yaml").read_text()
    (tmp_path / "worlds.yaml").write_text(cases)
    (tmp_path / "alerts.yaml").write_text((root / RULES).read_text())
    promtool("test", "rules", "worlds.yaml", cwd=tmp_path)
    cases += (WORLDS / "prometheus.yaml").read_text()
    assert [rule["alert"] for rule in alerts(root) if f'alertname="{rule["alert"]}"' not in cases] == []


def test_each_alert_says_what_is_wrong_and_what_to_do(files: Path) -> None:
    page = (files / "docs/operations.md").read_text()
    headings = re.findall(r"^### (.+)$", page[page.index("## Alerts") :], re.MULTILINE)
    for rule in alerts(files):
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert sorted(headings) == sorted(rule["alert"] for rule in alerts(files))


@pytest.mark.parametrize("extensions", [[], ["outbound", "redis", "worker"]])
def test_a_service_without_metrics_has_no_word_of_alerts(extensions: list[str], rendered: Make) -> None:
    root = rendered(database="postgres", migrated=False, url="", extensions=extensions).root
    assert not (root / RULES).exists()
    assert not re.search(r"^#+ (Alerts|[A-Z]\w+[A-Z]\w+)$", (root / "docs/operations.md").read_text(), re.MULTILINE)


def test_alerts_of_another_extension_join_these(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    overlay(template)
    git(template, "init", "--quiet")
    group = (
        '  - name: file\n    rules:\n      - alert: FileLarge\n        expr: file_bytes{job="{{ project_slug }}"} > 1\n'
        '        annotations: {runbook_url: "{{ runbook }}#filelarge"}\n'
    )
    assert not (EXTENSIONS / "sqlite" / "deploy" / "alerts.yaml").exists()
    (template / "extensions" / "sqlite" / "deploy" / "alerts.yaml").write_text(group)
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--message", "A group of alerts")
    git(template, "tag", "v1.0.0")
    root = render(tmp_path / "service", {"extensions": ["prometheus"]}, template=template)
    promtool("check", "config", CONFIGURATION, cwd=root)
    assert alerts(root)[-1]["annotations"]["runbook_url"] == "docs/operations.md#filelarge"


def test_the_server_scrapes_the_service_and_answers_about_it(alive: tuple[Service, Prometheus]) -> None:
    _, server = alive
    assert server.value('up{job="my-service"}') == 1
    assert server.value(f'http_requests_total{{route="{ORDERS}", method="POST", status="201"}}') == 3
    assert server.value('http_requests_total{route="unmatched", status="404"}') == 3
    assert server.value('increase(http_requests_total{route="/telling/failure", status="500"}[1m])') > 0
    (target,) = server.ask("targets")["activeTargets"]
    assert target["lastError"] == ""


def test_every_metric_that_is_named_is_there(alive: tuple[Service, Prometheus]) -> None:
    process, server = alive
    given = set(re.findall(r"^([a-z_]+)[{ ]", process.http.get("/metrics").text, re.MULTILINE))
    named = names([rule["expr"] for rule in alerts(process.rendered.root)])
    named |= names([expression for _, expression in panels(process.rendered.root)])
    named -= BESIDE
    assert len(named) >= 20
    assert named <= given
    assert named <= set(server.ask("label/__name__/values"))


def test_every_alert_is_evaluated_without_error(alive: tuple[Service, Prometheus]) -> None:
    process, server = alive
    for rule in alerts(process.rendered.root):
        server.query(rule["expr"])
    listed = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in listed} == {rule["alert"] for rule in alerts(process.rendered.root)}
    assert {rule["health"] for rule in listed} <= {"ok", "unknown"}
    assert [rule["name"] for rule in listed if rule["state"] == "firing"] == []


def test_every_panel_shows_something(alive: tuple[Service, Prometheus]) -> None:
    process, server = alive
    empty = [title for title, expression in panels(process.rendered.root) if not server.query(expression)]
    assert empty == []
