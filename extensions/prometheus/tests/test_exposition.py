"""Access to the metrics: who may read them, and where."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from app.core.errors import ConfigurationInvalid
from tests.conftest import Start

TOKEN = "a-token-of-the-metrics"  # noqa: S105


async def test_without_a_token_private_addresses_are_answered_and_no_others(start: Start) -> None:
    assert (await (await start(address="10.1.2.3")).get("/metrics")).status_code == 200
    refused = await (await start(address="8.8.8.8")).get("/metrics")
    assert refused.status_code == 403
    assert "PROMETHEUS__TOKEN" in refused.json()["detail"]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
async def test_without_a_token_nothing_that_came_through_a_proxy_is_answered(start: Start, header: str) -> None:
    client = await start(address="10.1.2.3")
    assert (await client.get("/metrics", headers={header: "for=10.1.2.4"})).status_code == 403


@pytest.mark.parametrize("given", [None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer ünï"])
async def test_with_a_token_nobody_is_answered_who_does_not_send_it(start: Start, given: str | None) -> None:
    client = await start(prometheus={"token": TOKEN})
    refused = await client.get("/metrics", headers={b"authorization": given.encode()} if given else None)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["content-type"] == "application/problem+json"


async def test_with_a_token_whoever_sends_it_is_answered(start: Start) -> None:
    client = await start(address="8.8.8.8", prometheus={"token": TOKEN})
    for scheme in ("Bearer", "bearer"):
        answer = await client.get(
            "/metrics", headers={"Authorization": f"{scheme} {TOKEN}", "X-Forwarded-For": "9.9.9.9"}
        )
        assert answer.status_code == 200


async def test_the_metrics_are_not_part_of_the_api(start: Start) -> None:
    client = await start(http={"docs": True})
    assert "/metrics" not in (await client.get("/openapi.json")).text


async def test_on_a_port_of_their_own_they_are_guarded_too_and_nowhere_else(start: Start) -> None:
    port = free_port()
    client = await start(prometheus={"port": port, "token": TOKEN})
    assert (await client.get("/metrics")).status_code == 404
    await client.get("/nothing")
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as scraper:
        assert (await scraper.get("/metrics")).status_code == 401
        answer = await scraper.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert 'http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in answer.text
        assert (await scraper.get("/health/live")).status_code == 404


async def test_a_port_that_is_in_use_stops_the_start(start: Start) -> None:
    expected = pytest.raises(ConfigurationInvalid, match=r"^PROMETHEUS__PORT: cannot listen on 127\.0\.0\.1:")
    with socket.create_server(("127.0.0.1", 0)) as used, expected:
        await start(prometheus={"port": used.getsockname()[1]})


async def test_off_means_not_there(start: Start) -> None:
    port = free_port()
    client = await start(prometheus={"enabled": False, "port": port})
    assert (await client.get("/metrics")).status_code == 404
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


@pytest.mark.parametrize(("enabled", "imported"), [("true", "True True"), ("false", "False False")])
def test_off_means_that_nothing_is_imported_or_listened_to(enabled: str, imported: str, database_url: str) -> None:
    program = (
        "import asyncio, sys; from app.core import telemetry; from app.main import create_app\n"
        "async def main():\n"
        "    app = create_app()\n"
        "    async with app.router.lifespan_context(app):\n"
        "        imported = 'app.extensions.prometheus.exporter' in sys.modules\n"  # a feature may import the library
        "        print(imported, telemetry.anyone_listens_to(telemetry.RequestFinished))\n"
        "asyncio.run(main())"
    )
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", program],
        env={"PROMETHEUS__ENABLED": enabled, "DATABASE__URL": database_url, "SERVICE__ENVIRONMENT": "test"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert imported in done.stdout.splitlines(), done.stdout + done.stderr


def free_port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
