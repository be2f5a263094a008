"""Every kind of service boots and serves: presets, nothing, each extension alone and all, on both databases."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.live import postgres
from tests.live.conftest import Make, Run, sql
from tests.live.environment import DEFAULT, OLDEST, clean
from tests.live.service import ORDERS, Service, order
from tests.matrix.combinations import extremes, label, possible, presets
from tests.tree import CHOICES

PROBLEM = "application/problem+json"


def rows() -> list[Any]:
    """Every combination on the usual Python, and the smallest and the largest on the oldest one.

    An extension alone is booted on the first database that it works with; on the other one it is among all others.
    """
    served = [row for row in extremes() if row["extensions"] or not row["delivery"]]  # what delivers does not serve
    found = []
    for row in [*presets(), *served]:
        first = next(name for name in CHOICES["database"] if possible({**row, "database": name}))
        again = len(row.get("extensions", [])) == 1 and row["database"] != first
        found.append(pytest.param(row, DEFAULT, id=f"{label(row)}-{DEFAULT}", marks=[pytest.mark.full] * again))
    for row in ({"preset": "minimal", "database": "sqlite"}, {"preset": "production", "database": "postgres"}):
        found.append(pytest.param(row, OLDEST, id=f"{label(row)}-{OLDEST}"))
    return found


@pytest.mark.parametrize(("answers", "python"), rows())
def test_a_service_boots_serves_and_stops(
    answers: dict[str, Any], python: str, rendered: Make, run: Run, request: pytest.FixtureRequest
) -> None:
    rendering = rendered(python=python, **answers)
    service = run(rendering)
    health = service.http.get("/health").json()
    assert health["status"] == "ok"
    assert health["parts"]["database"]["status"] == "ok"
    if answers.get("sample", True):
        lives_through_an_order(service)
        answers_every_error_alike(service, request)
    else:
        assert service.http.get(ORDERS).status_code == 404
    assert service.stop() == -15
    assert service.lines()


def lives_through_an_order(service: Service) -> None:
    """Create, read, list, update, ship and delete."""
    http = service.http
    placed = http.post(ORDERS, json=order("first"))
    assert placed.status_code == 201
    where, tag = placed.headers["location"], placed.headers["etag"]
    read = http.get(where)
    assert read.status_code == 200
    assert read.json() == placed.json()
    assert read.json()["total"] == 300
    assert [item["reference"] for item in http.get(ORDERS).json()["items"]] == ["first"]
    changed = http.put(where, json=order("second"), headers={"If-Match": tag})
    assert changed.status_code == 200
    assert changed.json()["reference"] == "second"
    assert http.put(where, json=order("third"), headers={"If-Match": tag}).status_code == 412
    shipped = http.post(f"{where}/ship", headers={"If-Match": changed.headers["etag"]})
    assert shipped.json()["status"] == "shipped"
    assert http.delete(where, headers={"If-Match": shipped.headers["etag"]}).status_code == 204
    assert http.get(where).status_code == 404


def answers_every_error_alike(service: Service, request: pytest.FixtureRequest) -> None:
    """404, 409, 422 and 500 are problem documents, whose correlation id the log has."""
    http = service.http
    taken = http.post(ORDERS, json=order("taken"))
    assert taken.status_code == 201
    answers = {
        404: http.get(f"{ORDERS}/999"),
        409: http.post(ORDERS, json=order("taken")),
        422: http.post(ORDERS, json=order("fine", lines=[])),
    }
    database = service.rendered.database
    server: postgres.Server | None = None
    if not database.startswith("sqlite"):
        server = request.getfixturevalue("postgres_server")
    sql(database, "ALTER TABLE order_lines RENAME TO gone", server)
    answers[500] = http.get(taken.headers["location"])
    sql(database, "ALTER TABLE gone RENAME TO order_lines", server)
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == PROBLEM
        problem = answer.json()
        assert problem["status"] == status
        assert problem["correlation_id"] == answer.headers["x-correlation-id"]
        (record,) = service.logged(logger="access", correlation_id=problem["correlation_id"])
        assert record["status"] == status
    assert "order_lines" not in answers[500].text
    (line,) = service.logged(level="error", correlation_id=answers[500].headers["x-correlation-id"])
    assert "order_lines" in line["exception"]


def imported(root: Path) -> set[str]:
    """The top names of all that the deployed code imports."""
    found = set()
    for path in [*root.glob("app/**/*.py"), *root.glob("migrations/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"app", "dev", "tests", "migrations"}


@pytest.mark.parametrize("answers", extremes(), ids=label)
def test_what_a_service_imports_it_depends_on(answers: dict[str, Any], rendered: Make) -> None:
    # The environment of these tests has everything: here is where a dependency that no one lists comes out.
    service = rendered(migrated=False, url="unused", **answers)
    script = (
        "import sys, importlib.metadata as m; d = m.packages_distributions();"
        "print(*(f'{name}={\",\".join(d[name])}' for name in sys.argv[1:]))"
    )
    command = [str(service.python), "-c", script, *sorted(imported(service.root))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean())
    project = tomllib.loads((service.root / "pyproject.toml").read_text())["project"]
    listed = {re.split(r"[\[<>=]", entry)[0].lower().replace("_", "-") for entry in project["dependencies"]}
    ours = {
        "httptools": "uvicorn",
        "pydantic-core": "pydantic",
        "psycopg-pool": "psycopg",
        "python-dotenv": "pydantic-settings",
        "websockets": "uvicorn",
    }  # they are a part of the one that brings them
    for entry in done.stdout.split():
        name, _, found = entry.partition("=")  # several share a namespace such as `opentelemetry`
        distributions = {one.lower().replace("_", "-") for one in found.split(",")}
        assert listed & {ours.get(one, one) for one in distributions}, f"{name} is imported, and {found} is not listed"


def gates() -> list[Any]:
    """Return the combinations whose own checks and tests differ in a way that matters; the rest is for test-all.

    The first steps (test_first_steps.py) run those of preset `production`, with both databases, on the usual Python;
    tests/service runs them with everything enabled, on the oldest one.
    """
    found = []
    chosen: list[tuple[dict[str, Any], str]] = [
        ({"extensions": [], "sample": False, "database": "sqlite"}, DEFAULT),
        ({"preset": "minimal", "database": "sqlite", "response_format": "envelope"}, DEFAULT),
    ]
    for row, python in chosen:
        found.append(pytest.param(row, python, id=f"{label(row)}-{python}"))
    for row in [*presets(), *extremes()]:
        for python in (OLDEST, DEFAULT):
            if (row, python) not in chosen:
                found.append(pytest.param(row, python, id=f"{label(row)}-{python}", marks=pytest.mark.full))
    return found


@pytest.mark.timeout(1000)
@pytest.mark.parametrize(("answers", "python"), gates())
def test_the_services_own_checks_and_tests_pass(answers: dict[str, Any], python: str, rendered: Make) -> None:
    service = rendered(python=python, migrated=False, copy=True, url="", **answers)
    service.make("check")
    service.make("test")
