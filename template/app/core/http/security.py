"""What protects callers: response headers, CORS and the names that the service answers to."""

import re
from base64 import b64encode
from hashlib import sha256
from typing import ClassVar, Self

from pydantic import Field, model_validator
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.core import context
from app.core.errors import BadRequest
from app.core.http import problems
from app.core.settings import CommaSeparated, Group

HeaderList = list[tuple[bytes, bytes]]
PROBES = frozenset({"/health/live", "/health/ready", "/health/startup"})
"""Answered by any name: clusters and load balancers ask an instance by its address."""
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
"""What scripts in browsers may read of an answer, beside the headers that they always may."""


class HttpSettings(Group):
    """What is taken from callers, and what they are told."""

    group: ClassVar[str] = "http"
    body_limit: int = Field(1_048_576, ge=0, description="The largest body in bytes; a route may allow more.")
    request_timeout: float = Field(30.0, gt=0, description="Seconds until a request without a response is cancelled.")
    header_timeout: float = Field(10.0, gt=0, description="Seconds in which the headers must arrive.")
    receive_timeout: float = Field(10.0, gt=0, description="Seconds in which a body must arrive.")
    stall_timeout: float = Field(30.0, gt=0, description="Seconds that a client may read nothing of its response.")
    cors_origins: CommaSeparated = Field((), description="Browser origins that may call, comma-separated, or `*`.")
    cors_credentials: bool = Field(default=False, description="Whether browsers may send cookies and credentials.")
    trusted_hosts: CommaSeparated = Field(
        ("*",), description="Accepted host names; `*.example.com` includes all below."
    )
    hsts: int = Field(31_536_000, ge=0, description="Seconds for which browsers require HTTPS; 0: no header.")
    docs: bool | None = Field(None, description="Whether to serve /docs and /openapi.json; unset: outside production.")

    @model_validator(mode="after")
    def _no_credentials_for_everybody(self) -> Self:
        if "*" in self.cors_origins and self.cors_credentials:
            raise ValueError("HTTP__CORS_CREDENTIALS does not go with `*` in HTTP__CORS_ORIGINS: name the origins")
        return self


def headers(
    settings: HttpSettings, *, content_security_policy: str = "default-src 'none'; frame-ancestors 'none'"
) -> HeaderList:
    """The headers of every response, encoded once (https://owasp.org/www-project-secure-headers/)."""
    named = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Content-Security-Policy": content_security_policy,
        "Vary": "Accept-Encoding, Origin" if settings.cors_origins else "Accept-Encoding",
    }
    if settings.hsts:
        named["Strict-Transport-Security"] = f"max-age={settings.hsts}; includeSubDomains"
    return [(name.lower().encode(), value.encode()) for name, value in named.items()]


def policy_for_page(html: str) -> str:
    """The policy under which a page runs just what it names, its inline scripts by their hash."""
    origins = " ".join(sorted(set(re.findall(r'(?:src|href)="(https://[^/"]+)', html))))
    inline = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in inline)
    return (
        f"default-src 'none'; connect-src 'self'; img-src 'self' data: {origins}; style-src 'unsafe-inline' {origins}; "
        f"script-src {origins} {hashes}; frame-ancestors 'none'"
    )


class Cors(CORSMiddleware):
    """Starlette's, with its refusals in the one format of errors."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a browser that asks whether it may ask."""
        answer = super().preflight_response(request_headers)
        request = context.current()
        if answer.status_code < 400 or request is None:
            return answer
        refused = BadRequest("this origin may not send such a request", headers={"Vary": "Origin"})
        return problems.response(refused, request.path)


def with_cors(app: ASGIApp, settings: HttpSettings) -> ASGIApp:
    """The application with CORS. Only requests with an `Origin` are sent through it."""
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


def cors_headers(app: ASGIApp, origin: bytes | None) -> HeaderList:
    """The headers of CORS for an answer that does not come from the application; `app`: what `with_cors` gave."""
    if origin is None or not isinstance(app, CORSMiddleware):
        return []
    headers = MutableHeaders(app.simple_headers)
    if not app.allow_all_origins and app.is_allowed_origin(origin.decode("latin-1")):
        app.allow_explicit_origin(headers, origin.decode("latin-1"))
    return headers.raw


def answers_to(host: bytes, trusted: tuple[str, ...]) -> bool:
    """Whether the `Host` header, port aside, is one of the trusted names, which are in lower case."""
    name = re.sub(rb":\d+$", b"", host).decode("latin-1").lower()
    return any(name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:])) for pattern in trusted)
