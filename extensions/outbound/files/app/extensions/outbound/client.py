"""The ways to call a service: an HTTP client, and `@resilient` for any function."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partialmethod, wraps
from http.cookiejar import CookieJar, DefaultCookiePolicy
from inspect import iscoroutinefunction
from threading import Lock
from typing import Any, ParamSpec, TypeVar, cast

import httpx2

from app.core.context import outgoing_headers
from app.core.errors import ServiceError
from app.core.telemetry import SecurityEvent, emit
from app.extensions.outbound.guard import Failure, Guard
from app.extensions.outbound.settings import OutboundSettings, UrlMissing, UrlRefused

P = ParamSpec("P")
R = TypeVar("R")

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, 9.2.2."""
RETRIED = frozenset({429, 502, 503, 504})
"""Statuses that another attempt may change; a 500 usually comes again."""


class BadAnswer(Exception):
    """The service answered with a failure, or that it is too busy."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__(f"answered {answer.status_code}")
        self.status = answer.status_code
        self.retry_after = retry_after(answer.headers.get("Retry-After"))


class Client:
    """Calls one service over HTTP. `http` is the client without the guard, for streams and the like."""

    def __init__(self, guard: Guard, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        policy = guard.policy
        self.guard = guard
        self.http = httpx2.AsyncClient(
            base_url=policy.url,
            timeout=httpx2.Timeout(policy.timeout, connect=policy.connect_timeout),
            limits=httpx2.Limits(max_connections=policy.concurrency, max_keepalive_connections=policy.concurrency),
            # One client serves every caller, and a cookie belongs to one of them.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            transport=transport,
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        repeatable: bool | None = None,
        headers: dict[str, str] | None = None,
        **rest: Any,
    ) -> httpx2.Response:
        """Send a request, and return an answer below 500 that is not 429.

        Args:
            method: GET, HEAD, OPTIONS, TRACE, PUT and DELETE are tried again if they fail.
            url: a path below the service's address, or a whole address below it; any other if the service has the
                setting `ANYWHERE`, or no URL.
            repeatable: true if another method may be sent again, such as a POST that the other side stores once.
            headers: are sent with those of the correlation and trace ids.
            rest: params, json, content and the other parameters of httpx2.

        Raises:
            UrlRefused: the call would leave the address of the service.
            UrlMissing: the service has no URL, and the call names a path.
            CallFailed: the answer is 5xx or 429, there is no answer in time, or the call was not sent.
        """
        method = method.upper()
        policy = self.guard.policy
        if not policy.url and httpx2.URL(url).is_relative_url:
            missing = f"OUTBOUND__SERVICES__{self.guard.service.upper()}__URL"
            raise UrlMissing from LookupError(f"{missing} is not set, and {url} is a path below it")
        if policy.url and not policy.anywhere and not is_below(httpx2.URL(url), httpx2.URL(policy.url)):
            emit(SecurityEvent("outbound_url_refused", subject=self.guard.service))
            raise UrlRefused

        async def made() -> httpx2.Response:
            answer = await self.http.request(method, url, headers={**outgoing_headers(), **(headers or {})}, **rest)
            if answer.status_code >= 500 or answer.status_code == httpx2.codes.TOO_MANY_REQUESTS:
                raise BadAnswer(answer)
            return answer

        if repeatable is None:
            once = "files" in rest or not isinstance(rest.get("content", ""), str | bytes)  # a stream is read once
            repeatable = method in IDEMPOTENT and not once
        return await self.guard.call(made, method=method, repeatable=repeatable, judge=judge)

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")
    delete = partialmethod(request, "DELETE")


def is_below(url: httpx2.URL, base: httpx2.URL) -> bool:
    """Return whether a relative or absolute URL stays below another one."""
    if ".." in re.split(r"[/\\]", url.path):
        return False
    if not url.scheme and not url.host:
        return True
    same = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
    return same and f"{url.path}/".startswith(f"{base.path.rstrip('/')}/")


def judge(error: Exception) -> Failure | None:
    """Judge an error of a request; a wrong URL is the caller's mistake."""
    if isinstance(error, BadAnswer):
        busy = error.status == httpx2.codes.TOO_MANY_REQUESTS
        return Failure(str(error.status), again=error.status in RETRIED, ill=not busy, retry_after=error.retry_after)
    if isinstance(error, httpx2.RequestError) and not isinstance(error, httpx2.UnsupportedProtocol):
        return Failure(type(error).__name__)
    return None


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header (RFC 9110, 10.2.3), or None if it cannot be read."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


class Outbound:
    """The guards and clients of all services that this one calls, by name."""

    def __init__(self, settings: OutboundSettings) -> None:
        self._settings = settings
        self._lock = Lock()
        self.guards: dict[str, Guard] = {}
        self.clients: dict[str, Client] = {}
        for service in settings.services:  # a TLS context takes 30 ms, which no request waits for
            self.client(service)

    def guard(self, service: str) -> Guard:
        with self._lock:
            if service not in self.guards:
                self.guards[service] = Guard(service, self._settings.policy(service))
            return self.guards[service]

    def client(self, service: str) -> Client:
        if service not in self.clients:
            self.clients[service] = Client(self.guard(service))
        return self.clients[service]

    async def close(self) -> None:
        for client in self.clients.values():
            await client.http.aclose()


_current = Outbound(OutboundSettings())
"""The instance that decorated functions use; outside a running service it has the defaults."""


def guard_of(service: str) -> Guard:
    """Return the guard before a service, as the running service has configured it."""
    return _current.guard(service)


@contextmanager
def installed(outbound: Outbound) -> Iterator[None]:
    """Let decorated functions use this instance until the block ends."""
    global _current  # functions are decorated at import, before there are settings
    before, _current = _current, outbound
    try:
        yield
    finally:
        _current = before


def resilient(
    service: str, *, failures: tuple[type[Exception], ...] = (Exception,), repeatable: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Guard a function, with or without `async`, that calls another service.

    Args:
        service: the name of the service, as in `OUTBOUND__SERVICES__BILLING__...`.
        failures: errors that mean that the service failed; others, and own errors below 500, pass through.
        repeatable: true if the function may be called again if it fails.
    """

    def judge(error: Exception) -> Failure | None:
        own = isinstance(error, ServiceError) and error.status < 500
        return Failure(type(error).__name__) if isinstance(error, failures) and not own else None

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = getattr(function, "__name__", type(function).__name__)

        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            made = cast(Callable[P, Any], function)
            guard = guard_of(service)
            return await guard.call(lambda: made(*args, **kwargs), method=name, repeatable=repeatable, judge=judge)

        def guarded_thread(*args: P.args, **kwargs: P.kwargs) -> R:
            guard = guard_of(service)
            return guard.call_from_thread(
                lambda: function(*args, **kwargs), method=name, repeatable=repeatable, judge=judge
            )

        is_async = iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)
        return cast(Callable[P, R], wraps(function)(guarded if is_async else guarded_thread))

    return decorate
