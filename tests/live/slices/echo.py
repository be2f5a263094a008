"""A slice with a WebSocket, as FastAPI's tutorial writes it."""

from fastapi import WebSocket

from app.core.component import Component
from app.core.versioning import versioned

router = versioned("echo")


@router.websocket("/live")
async def live(websocket: WebSocket) -> None:
    """Echo what the client says."""
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


def component() -> Component:
    """Return the one part."""
    return Component(name="echo", routers=[router])
