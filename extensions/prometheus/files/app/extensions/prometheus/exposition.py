"""Exposition: /metrics in the format that the scraper prefers, for those who may read it."""

from collections.abc import Callable

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import SecretStr

from app.core.errors import AuthenticationFailed, PermissionDenied
from app.core.observability.operator_access import is_near, knows


def metrics_router(registry: CollectorRegistry, look: Callable[[], None], token: SecretStr | None) -> APIRouter:
    """The router of /metrics; `look` is called before each answer."""
    router = APIRouter()

    async def operators_only(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if token is None and not is_near(request):
            raise PermissionDenied("metrics are for private addresses: PROMETHEUS__TOKEN opens them to others")
        if token is not None and not (scheme.lower() == "bearer" and knows(given.strip(), token)):
            raise AuthenticationFailed(
                "send the token of the metrics as a bearer token", headers={"WWW-Authenticate": "Bearer"}
            )

    @router.get("/metrics", include_in_schema=False, dependencies=[Depends(operators_only)])
    def metrics(request: Request) -> Response:  # in a thread: thousands of series take some milliseconds
        look()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return router
