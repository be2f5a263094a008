"""The protection of clients: response headers, CORS and trusted host names. The access of operators."""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from typing import Annotated, ClassVar, Self

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security.base import SecurityBase
from pydantic import Field, SecretStr, field_validator, model_validator
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Scope

from app.core import context
from app.core.errors import BadRequest
from app.core.http import problems
from app.core.settings import CommaSeparated, Group, each

HeaderList = list[tuple[bytes, bytes]]
PROBES = frozenset({"/health/live", "/health/ready", "/health/startup"})
"""Answered under any host name: clusters and load balancers ask an instance by its address."""
DEFAULT_PORTS = frozenset({("http", ":80"), ("https", ":443")})
EXPOSED = [
    "X-Correlation-ID",
    "ETag",
    "Location",
    "Link",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Deprecation",
    "Sunset",
    "WWW-Authenticate",
    "Content-Disposition",
]
"""Response headers that scripts in browsers may read."""


def _origin(entry: str) -> str:
    """Return an origin as browsers send it (https://www.rfc-editor.org/rfc/rfc6454#section-6.2)."""
    found = re.fullmatch(r"([a-z][a-z0-9+.-]*)://([^/@\s*:\[\]]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?", entry.lower())
    if entry in {"*", "null"}:
        return entry
    if not found:
        raise ValueError("is no origin: write a scheme and a host, such as https://example.com")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (port if port and (scheme, port) not in DEFAULT_PORTS else "")


def _host(entry: str) -> str:
    if not re.fullmatch(r"(\*|(\*\.)?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])", entry):
        raise ValueError("is no host name: write it without scheme, port and path, such as example.com")
    return entry


class HttpSettings(Group):
    """The limits, timeouts and security headers of HTTP."""

    group: ClassVar[str] = "http"
    body_limit: int = Field(1_048_576, ge=0, description="The largest body in bytes; a route may allow more.")
    request_timeout: float = Field(30.0, gt=0, description="Seconds until a request without a response is cancelled.")
    connections: int = Field(5000, ge=1, description="Open connections of a process; a further one is closed.")
    header_timeout: float = Field(10.0, gt=0, description="Seconds for the headers to arrive.")
    receive_timeout: float = Field(10.0, gt=0, description="Seconds for a body to arrive.")
    stream_timeout: float = Field(300.0, gt=0, description="Seconds in which a stream may send nothing.")
    background_timeout: float = Field(
        300.0, gt=0, description="Seconds for background tasks, and for a WebSocket that is closed."
    )
    stall_timeout: float = Field(30.0, gt=0, description="Seconds that a client may read nothing of its response.")
    cors_origins: Annotated[CommaSeparated, each(_origin)] = Field(
        (), description="Browser origins that may call, comma-separated, or `*`."
    )
    cors_credentials: bool = Field(default=False, description="Browsers may send cookies and credentials.")
    trusted_hosts: Annotated[CommaSeparated, each(_host)] = Field(
        ("*",), description="Accepted host names; `*.example.com` includes all below."
    )
    root_path: str | None = Field(None, description="The path prefix for clients of a proxy, such as `/shop`.")
    hsts: int = Field(31_536_000, ge=0, description="Seconds for which browsers require HTTPS; 0: no header.")
    docs: bool | None = Field(None, description="Serve /docs, /redoc and /openapi.json; unset: outside production.")

    @field_validator("root_path")
    @classmethod
    def _is_prefix(cls, path: str | None) -> str | None:
        if path and not re.fullmatch(r"(/[\w.~-]+)+", path):
            raise ValueError("has to look like /shop, without a slash at the end")
        return path or None

    @model_validator(mode="after")
    def _no_credentials_for_all_origins(self) -> Self:
        if "*" in self.cors_origins and self.cors_credentials:
            raise ValueError("HTTP__CORS_CREDENTIALS does not go with `*` in HTTP__CORS_ORIGINS: name the origins")
        return self


def headers(settings: HttpSettings) -> HeaderList:
    """Return the security headers of every response (https://owasp.org/www-project-secure-headers/)."""
    named = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Vary": "Accept-Encoding, Origin" if settings.cors_origins else "Accept-Encoding",
    }
    if settings.hsts:
        named["Strict-Transport-Security"] = f"max-age={settings.hsts}; includeSubDomains"
    return [(name.lower().encode(), value.encode()) for name, value in named.items()]


def policy_for_page(html: str) -> str:
    """Return a policy that allows a page only files of this service, and its inline scripts by their hash."""
    inline = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in inline)
    return (
        "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
        f"script-src 'self' {hashes}; worker-src blob:; frame-ancestors 'none'"
    )


class Cors(CORSMiddleware):
    """Starlette's middleware, with its refusals in the format of every other error."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer the question of a browser, if it may send a request."""
        answer = super().preflight_response(request_headers)
        request = context.current()
        if answer.status_code < 400 or request is None:
            return answer
        refused = BadRequest("this origin may not send such a request", headers={"Vary": "Origin"})
        return problems.response(refused, request.root_path + request.path)


def with_cors(app: ASGIApp, settings: HttpSettings) -> ASGIApp:
    """Return the application with CORS, if the settings name origins."""
    if not settings.cors_origins:
        return app
    return Cors(
        app,
        allow_origins=settings.cors_origins,
        allow_credentials=settings.cors_credentials,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )


def is_trusted_host(host: bytes, trusted: tuple[str, ...]) -> bool:
    """Return true if the `Host` header, without its port, is one of the trusted names, which are in lower case."""
    name = re.sub(rb":\d+$", b"", host).decode("latin-1").lower()
    return any(name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:])) for pattern in trusted)


def below(root: str, scope: Scope) -> Scope:
    """Return the scope with the prefix in its path, as ASGI has it, whether the proxy removes it or passes it on."""
    if scope["path"] != root and not scope["path"].startswith(f"{root}/"):
        raw = scope.get("raw_path")
        scope = {**scope, "path": root + scope["path"], "raw_path": raw and root.encode() + raw}
    return {**scope, "root_path": root}


def production_warnings(settings: HttpSettings, routes: Sequence[BaseRoute]) -> Iterator[str]:
    """Yield what a service in production should not have open: a warning for each.

    A guard is a dependency of `fastapi.security`. A route for anyone says so by `openapi_extra={"security": []}`.
    """
    if "*" in settings.trusted_hosts:
        yield "HTTP__TRUSTED_HOSTS is *: name the hosts of this service, others may be written into its links"
    writes = [
        f"{method} {route.path}"
        for route in iter_route_contexts(routes)
        for method in sorted({"POST", "PUT", "PATCH", "DELETE"} & (route.methods or set()))
        if not _is_guarded(route.dependant) and "security" not in (route.openapi_extra or {})
    ]
    if writes:
        more = " and more" if len(writes) > 3 else ""
        yield f"anyone may call {', '.join(writes[:3])}{more}: see docs/deployment.md#callers"


def _is_guarded(dependant: Dependant) -> bool:
    return any(isinstance(one.call, SecurityBase) or _is_guarded(one) for one in dependant.dependencies)


def secret_matches(given: str, secret: SecretStr) -> bool:
    """Return whether the caller sent the secret, in a time that tells nothing about it."""
    return compare_digest(given.encode(), secret.get_secret_value().encode())


_OF_PROXIES = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "x-client-ip", "true-client-ip"}
    | {"cf-connecting-ip", "x-envoy-external-address"}
)
"""Request headers that proxies add."""


def is_near(request: Request) -> bool:
    """Return whether a request came straight from a private address.

    One that came through a proxy shows the address of the proxy if that is not trusted, which proves nothing.
    """
    if not _OF_PROXIES.isdisjoint(request.headers.keys()):
        return False
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    # ::ffff:8.8.8.8 is how a listener on :: calls 8.8.8.8; before Python 3.13 all of those are private.
    return (getattr(address, "ipv4_mapped", None) or address).is_private
