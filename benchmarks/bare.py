"""FastAPI with nothing but routes: the most that a service which does something can come near to."""

from fastapi import FastAPI

app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False}, openapi_url=None)


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    """Whether it is up."""
    return {"status": "ok"}


@app.get("/api/v1/ping")
async def ping() -> dict[str, str]:
    """The route that is asked."""
    return {"answer": "pong"}


def add_route(place: int) -> None:
    """One more route, before which nobody asks for anything: a service has some too."""

    @app.get(f"/api/v1/other-{place}/{{number}}")
    async def other(number: int) -> dict[str, int]:
        return {"number": number}


for place in range(15):
    add_route(place)
