"""FastAPI with nothing but routes: the most that a service which does something can come near to.

`app` has them on itself; `routed` has as many in routers, one each, as a service of several features has.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI

app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False}, openapi_url=None)
routed = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False}, openapi_url=None)


async def ready() -> dict[str, str]:
    """Return the status `ok`: the service is ready."""
    return {"status": "ok"}


async def ping() -> dict[str, str]:
    """The route that is asked."""
    return {"answer": "pong"}


async def other(number: int) -> dict[str, int]:
    """One more route without requests: a service has some too."""
    return {"number": number}


PATHS: dict[str, Callable[..., Awaitable[object]]] = {"/health/ready": ready, "/api/v1/ping": ping}
PATHS |= {f"/api/v1/other-{place}/{{number}}": other for place in range(15)}

for path, endpoint in PATHS.items():
    router = APIRouter()
    router.get(path)(endpoint)
    routed.include_router(router)
    app.get(path)(endpoint)
