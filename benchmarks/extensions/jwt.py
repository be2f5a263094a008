"""Cost of a bearer token for a request to a guarded route, in process, over the same route without a guard.

`python -m benchmarks.extensions.jwt SERVICE`, with the Python of that rendered service; prints microseconds.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.extensions import in_process

SECRET = "not-a-secret-but-long-enough-for-one"  # noqa: S105  # nothing is protected by it


class Known:
    """The issuer's keys, as they are once they were fetched."""

    def __init__(self, key: Any) -> None:
        self.key = key

    async def find(self, _: str | None) -> Any:
        """The one key."""
        return self.key


async def measure() -> dict[str, float]:
    """With a token by a shared secret, and by each kind of key."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from fastapi import APIRouter

    from app.extensions.jwt import JwtSettings, require_scopes
    from app.extensions.jwt.verifier import Verifier, shared_secret

    router = APIRouter()

    @router.get("/free")
    @router.get("/token", dependencies=[require_scopes("things:read")])
    async def answer() -> dict[str, str]:
        return {"answer": "pong"}

    issued = {"iss": "issuer", "aud": "api", "sub": "ada", "scope": "things:read", "exp": int(time.time()) + 86400}
    with_keys = JwtSettings(issuer="issuer", jwks_url="http://issuer", audience="api")
    found = {}
    for name, private in {
        "HS256": SECRET,
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
    }.items():
        if isinstance(private, str):
            verifier = Verifier(JwtSettings(issuer="issuer", audience="api", secret=private), shared_secret(private))
        else:
            family = jwt.algorithms.get_default_algorithms()[name]
            verifier = Verifier(
                with_keys, Known(jwt.PyJWK(family.to_jwk(private.public_key(), as_dict=True), name)).find
            )
        token = jwt.encode(issued, private, algorithm=name, headers={"kid": "first"})
        headers = [(b"authorization", f"Bearer {token}".encode())]
        cases = {"free": ("/free", headers), name: ("/token", headers)}
        found |= await in_process.added(router, {"jwt": verifier}, cases)
    return found


if __name__ == "__main__":
    in_process.enter(Path(sys.argv[1]).resolve(), JWT__SECRET=SECRET)
    print(json.dumps(asyncio.run(measure())))
