"""Clients that are generated from openapi.json compile, and talk to the service."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.conftest import Make
from tests.live.environment import clean, uv
from tests.live.service import Rendered, Service, running

PYTHON_CLIENT = """
import sys

from my_service_client import Client
from my_service_client.api.orders import orders_change, orders_list, orders_place, orders_read
from my_service_client.models import Line, OrderChange, OrderInput, Problem

client = Client(base_url=sys.argv[1])
lines = [Line(sku="A-1", quantity=2, unit_price=150)]
placed = orders_place.sync_detailed(client=client, body=OrderInput(reference="python", lines=lines))
assert placed.status_code == 201 and placed.headers["Location"].endswith(f"/{placed.parsed.id}"), placed
version = orders_read.sync_detailed(placed.parsed.id, client=client).headers["ETag"]
change = OrderChange(reference="changed", lines=lines)
changed = orders_change.sync(placed.parsed.id, client=client, if_match=version, body=change)
assert changed.reference == "changed", changed
stale = orders_change.sync(placed.parsed.id, client=client, if_match=version, body=change)
assert isinstance(stale, Problem) and stale.code == "precondition_failed", stale
assert orders_list.sync(client=client).total == 1
print("called")
"""
TYPESCRIPT_CLIENT = """
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const client = createClient<paths>({ baseUrl: process.argv[2] });
const lines = [{ sku: "A-1", quantity: 2, unit_price: 150 }];
const placed = await client.POST("/api/v1/orders", { body: { reference: "typescript", lines } });
const version = placed.response.headers.get("ETag");
if (!placed.data || !version) throw new Error(JSON.stringify(placed.error));
const path = { order_id: placed.data.id };
const body = { reference: "typed", lines };
const header = { "If-Match": version };
const changed = await client.PUT("/api/v1/orders/{order_id}", { params: { path, header }, body });
if (changed.data?.reference !== "typed") throw new Error(JSON.stringify(changed.error));
const stale = await client.PUT("/api/v1/orders/{order_id}", { params: { path, header }, body });
if (stale.error?.code !== "precondition_failed") throw new Error(JSON.stringify(stale));
// @ts-expect-error If-Match is required
await client.PUT("/api/v1/orders/{order_id}", { params: { path }, body });
console.log("called");
"""


def execute(folder: Path, *command: str | Path) -> str:
    """Run a command in a folder, and return its output."""
    done = subprocess.run(command, cwd=folder, env=clean(), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def described(rendered: Make) -> Rendered:
    """A service with its openapi.json, written without settings, secrets or a database."""
    service = rendered(copy=True, extensions=["jwt", "rate_limit", "idempotency"])
    written = []
    for settings in (
        {},
        {"JWT__SECRET": "x" * 32, "SERVICE__NAME": "other", "HTTP__ROOT_PATH": "/shop", "LOG__LEVEL": "?"},
    ):
        bare = Rendered(service.root, service.python, database="")
        done = bare.run("dev.openapi", settings=settings)
        assert (done.returncode, done.stdout) == (0, "")
        written.append((service.root / "openapi.json").read_text())
    assert written[0] == written[1]
    return service


@pytest.fixture(scope="module")
def service(described: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(described, tmp_path_factory.mktemp("clients") / "log") as started:
        yield started


def test_the_document_says_what_clients_need(described: Rendered) -> None:
    document = json.loads((described.root / "openapi.json").read_text())
    change = document["paths"]["/api/v1/orders/{order_id}"]["put"]
    assert change["operationId"] == "orders.change"
    assert [one["name"] for one in change["parameters"] if one["required"]] == ["order_id", "If-Match"]
    placed = document["paths"]["/api/v1/orders"]["post"]["responses"]["201"]["headers"]
    assert {"ETag", "Location", "RateLimit-Remaining", "X-Correlation-ID"} <= placed.keys()
    assert "servers" not in document


def test_a_client_for_python_is_generated_and_called(described: Rendered, service: Service, tmp_path: Path) -> None:
    schema, client = described.root / "openapi.json", tmp_path / "client"
    generate = ("openapi-python-client", "generate", "--fail-on-warning", "--path", schema, "--output-path", client)
    execute(tmp_path, uv(), "tool", "run", "--from", "openapi-python-client>=0.29,<0.30", *generate)
    (client / "call.py").write_text(PYTHON_CLIENT)
    libraries = ("--with", "httpx>=0.28,<0.29", "--with", "attrs>=25", "--with", "python-dateutil>=2.9,<3")
    command = ("run", "--quiet", "--no-project", "--python", described.python, *libraries, "call.py")
    assert execute(client, uv(), *command, service.url) == "called\n"


@pytest.mark.full
def test_a_client_for_typescript_is_generated_compiled_and_called(
    described: Rendered, service: Service, tmp_path: Path
) -> None:
    assert shutil.which("npm"), "npm is missing: install Node.js 20 or newer"
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    packages = ("openapi-typescript@7", "openapi-fetch@0.17", "typescript@5", "@types/node@20")
    execute(tmp_path, "npm", "install", "--no-audit", "--no-fund", *packages)
    execute(tmp_path, "npx", "openapi-typescript", described.root / "openapi.json", "--output", "api.ts")
    (tmp_path / "call.ts").write_text(TYPESCRIPT_CLIENT)
    execute(tmp_path, "npx", "tsc", "--strict", "--module", "nodenext", "--target", "es2022", "call.ts")
    assert execute(tmp_path, "node", "call.js", service.url) == "called\n"
