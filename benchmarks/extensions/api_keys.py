"""Cost of a key for a request to a guarded route, in process, over the same route without a guard.

`python -m benchmarks.extensions.api_keys SERVICE`, with the Python of that rendered service; prints microseconds.
"""

import asyncio
import json
import sys
from pathlib import Path

from benchmarks.extensions import in_process


async def measure() -> dict[str, float]:
    """With a key, and with a key that needs a scope."""
    from fastapi import APIRouter

    from app.extensions.api_keys import require_scopes
    from app.extensions.api_keys.keyring import Keyring, make

    router = APIRouter()

    @router.get("/free")
    @router.get("/key", dependencies=[require_scopes()])
    @router.get("/scope", dependencies=[require_scopes("things:read")])
    async def answer() -> dict[str, str]:
        return {"answer": "pong"}

    key, stored = make("billing", ["things:read"])
    headers = [(b"x-api-key", key.encode())]
    cases = {"free": ("/free", headers), "key": ("/key", headers), "key_and_scope": ("/scope", headers)}
    return await in_process.added(router, {"api_keys": Keyring([stored])}, cases)


if __name__ == "__main__":
    in_process.enter(Path(sys.argv[1]).resolve())
    print(json.dumps(asyncio.run(measure())))
