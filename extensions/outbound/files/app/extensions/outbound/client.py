"""The HTTP client of one service, for as long as this one runs."""

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2

from app.core.context import outgoing_headers
from app.extensions.outbound.guard import Failure, Guard
from app.extensions.outbound.retries import IDEMPOTENT, RETRIED, retry_after


class BadAnswer(Exception):
    """The service answered that it failed, or that it is too busy."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__(f"answered {answer.status_code}")
        self.status = answer.status_code
        self.retry_after = retry_after(answer.headers.get("Retry-After"))


class Client:
    """Calls one service over HTTP. `http` is the client below, for what does without the guard, such as a stream."""

    def __init__(self, guard: Guard, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        policy = guard.policy
        self.guard = guard
        self.http = httpx2.AsyncClient(
            base_url=policy.url,
            timeout=httpx2.Timeout(policy.timeout, connect=policy.connect_timeout),
            limits=httpx2.Limits(max_connections=policy.concurrency, max_keepalive_connections=policy.concurrency),
            # One client serves every caller: a cookie that one of them is given is none of the others'.
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
        """Send a request. An answer below 500 but 429 is returned; `rest` is as httpx2 has it.

        Args:
            method: GET, HEAD, OPTIONS, TRACE, PUT and DELETE are tried again where they fail.
            url: a path below the service's address, or a whole address.
            repeatable: whether it may be sent again, where the method does not say it: a POST that is carried out once.
            headers: besides those that carry the correlation and trace ids.
            rest: params, json, content, ...

        Raises:
            CallFailed: it failed, as an answer of 5xx or 429, or no answer in time, is a failure; or was not even sent.
        """
        method = method.upper()

        async def made() -> httpx2.Response:
            answer = await self.http.request(method, url, headers={**outgoing_headers(), **(headers or {})}, **rest)
            if answer.status_code >= 500 or answer.status_code == httpx2.codes.TOO_MANY_REQUESTS:
                raise BadAnswer(answer)
            return answer

        if repeatable is None:
            once = "files" in rest or not isinstance(
                rest.get("content", ""), str | bytes
            )  # read to its end, it is gone
            repeatable = method in IDEMPOTENT and not once
        return await self.guard.call(made, method=method, repeatable=repeatable, judge=judge)

    async def get(self, url: str, **rest: Any) -> httpx2.Response:
        """`request("GET", ...)`."""
        return await self.request("GET", url, **rest)

    async def post(self, url: str, **rest: Any) -> httpx2.Response:
        """`request("POST", ...)`."""
        return await self.request("POST", url, **rest)

    async def put(self, url: str, **rest: Any) -> httpx2.Response:
        """`request("PUT", ...)`."""
        return await self.request("PUT", url, **rest)

    async def patch(self, url: str, **rest: Any) -> httpx2.Response:
        """`request("PATCH", ...)`."""
        return await self.request("PATCH", url, **rest)

    async def delete(self, url: str, **rest: Any) -> httpx2.Response:
        """`request("DELETE", ...)`."""
        return await self.request("DELETE", url, **rest)


def judge(error: Exception) -> Failure | None:
    """What an error of a request says of the service; a wrong URL is the caller's own mistake."""
    if isinstance(error, BadAnswer):
        busy = error.status == httpx2.codes.TOO_MANY_REQUESTS
        return Failure(str(error.status), again=error.status in RETRIED, ill=not busy, retry_after=error.retry_after)
    if isinstance(error, httpx2.RequestError) and not isinstance(error, httpx2.UnsupportedProtocol):
        return Failure(type(error).__name__)
    return None
