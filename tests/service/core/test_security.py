"""Protection of callers: headers, CORS, trusted hosts."""

from collections.abc import Callable
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, Security
from fastapi.responses import HTMLResponse
from fastapi.security import APIKeyHeader

from app.core.component import Component
from app.core.errors import PROBLEM, ConfigurationInvalid
from app.core.settings import Settings
from app.main import create_app
from tests.conftest import Opened, Start

SHOP = "https://shop.example"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-mine"}
HEADERS = {
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@pytest.mark.parametrize("path", ["/health/live", "/nowhere"])
async def test_every_answer_has_the_protecting_headers(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert HEADERS.items() <= dict(answer.headers).items()
    assert "server" not in answer.headers


async def test_a_route_may_give_a_header_of_its_own(start: Start) -> None:
    router = APIRouter()

    @router.get("/page")
    async def page() -> HTMLResponse:
        return HTMLResponse("<p>hello", headers={"Content-Security-Policy": "default-src 'self'", "Vary": "Cookie"})

    answer = await (await start(extra=[Component(name="page", routers=[router])])).get("/page")
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers.get_list("vary") == ["Cookie", "Accept-Encoding"]
    assert answer.headers["x-frame-options"] == "DENY"


async def test_hsts_can_be_turned_off(start: Start) -> None:
    client = await start(http={"hsts": 0})
    assert "strict-transport-security" not in (await client.get("/health/live")).headers


async def test_a_preflight_of_a_known_origin_is_answered(start: Start) -> None:
    client = await start(http={"cors_origins": f"{SHOP},https://other.example", "cors_credentials": True})
    answer = await client.options("/health/live", headers={"Origin": SHOP, **PREFLIGHT})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "x-mine"
    assert "Origin" in answer.headers["vary"]


async def test_a_preflight_of_another_origin_is_a_problem(start: Start) -> None:
    client = await start(http={"cors_origins": SHOP})
    answer = await client.options("/health/live", headers={"Origin": "https://evil.example", **PREFLIGHT})
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    assert "access-control-allow-origin" not in answer.headers
    assert "evil" not in answer.text


@pytest.mark.parametrize("path", ["/health/live", "/nowhere"])
async def test_a_known_origin_may_read_every_answer(start: Start, path: str) -> None:
    client = await start(http={"cors_origins": SHOP})
    answer = await client.get(path, headers={"Origin": SHOP})
    assert answer.headers["access-control-allow-origin"] == SHOP
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"ETag", "RateLimit-Remaining", "Sunset", "WWW-Authenticate", "Content-Disposition"} <= {*exposed}
    other = await client.get(path, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_what_a_cache_keeps_depends_on_the_origin(start: Start) -> None:
    client = await start(http={"cors_origins": SHOP})
    for headers in ({}, {"Origin": SHOP}, {"Origin": "https://evil.example"}):
        assert "origin" in (await client.get("/health/live", headers=headers)).headers["vary"].lower()


async def test_without_origins_no_browser_may_call(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"Origin": SHOP})
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_any_origin_goes_without_credentials_only(start: Start) -> None:
    client = await start(http={"cors_origins": "*"})
    answer = await client.get("/health/live", headers={"Origin": SHOP})
    assert answer.headers["access-control-allow-origin"] == "*"
    with pytest.raises(ConfigurationInvalid, match="HTTP__CORS_CREDENTIALS does not go with"):
        await start(http={"cors_origins": "*", "cors_credentials": True})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("shop.example", 200),
        ("SHOP.example:8443", 200),
        ("api.shops.example", 200),
        ("api.other.example", 200),
        ("shops.example", 400),
        ("evil.example", 400),
        ("shop.example.evil.example", 400),
        ("notshops.example", 400),
        ("", 400),
        ("[", 400),
    ],
)
async def test_only_trusted_hosts_are_answered(start: Start, host: str, status: int) -> None:
    client = await start(http={"trusted_hosts": "Shop.Example,*.shops.example,*.Other.example"})
    answer = await client.get("/health", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert answer.headers["content-type"] == PROBLEM
        assert "evil" not in answer.text


@pytest.mark.parametrize("probe", ["live", "ready", "startup"])
async def test_probes_are_answered_by_any_name(start: Start, probe: str) -> None:
    client = await start(http={"trusted_hosts": "shop.example"})
    answer = await client.get(f"/health/{probe}", headers={"Host": "10.0.0.3:8000"})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "x" * 300, "ümlaut", "host:port", "/", "@", "?"])
@pytest.mark.parametrize("path", ["/nowhere", "/health/ready", "//nowhere"])
async def test_a_hostile_host_header_is_no_server_error(client: httpx2.AsyncClient, host: str, path: str) -> None:
    answer = await client.get(f"http://service{path}", headers={b"Host": host.encode()})
    assert answer.status_code in {200, 400, 404}


async def guard(_: Annotated[str, Security(APIKeyHeader(name="X-Key"))]) -> None:
    """Lets some in."""


def writing(**options: Any) -> Component:
    """A slice that stores something."""
    router = APIRouter(**{name: value for name, value in options.items() if name == "dependencies"})

    @router.post("/store", **{name: value for name, value in options.items() if name != "dependencies"})
    async def store() -> None:
        """Stores."""

    @router.get("/look")
    async def look() -> None:
        """Reads."""

    outer = APIRouter()
    outer.include_router(router, prefix="/outer")
    return Component(name="writing", routers=[outer])


OPEN = "anyone may call POST /outer/store: see docs/deployment.md#callers"
HOSTS = "HTTP__TRUSTED_HOSTS is *: name the hosts of this service, others may be written into its links"


@pytest.mark.parametrize(
    ("options", "hosts", "environment", "warnings"),
    [
        ({}, "*", "production", [HOSTS, OPEN]),
        ({}, "shop.example", "production", [OPEN]),
        ({"dependencies": [Depends(guard)]}, "*", "production", [HOSTS]),
        ({"openapi_extra": {"security": []}}, "shop.example", "production", []),
        ({}, "*", "test", []),
    ],
)
async def test_what_is_open_in_production_is_told_at_the_start(
    configured: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    hosts: str,
    environment: str,
    warnings: list[str],
) -> None:
    settings = configured(service={"environment": environment}, http={"trusted_hosts": hosts})
    async with Opened(create_app([writing(**options)], settings)):
        pass
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == warnings
