"""An OpenID Connect issuer that really listens: it rotates its keys, and stops, stalls or lies when told to."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "https://api.example.com"
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def private(kid: str, algorithm: str) -> Private:
    """A key, the same one for the whole run: an RSA key takes a quarter of a second to make."""
    del kid
    return rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """Keys and tokens. What it serves below `url` can be replaced by a test, path by path."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, Private]] = {}
        self.answers: dict[str, bytes] = {}
        """False content by path, served in place of the true one."""
        self.status = 200
        self.delay = 0.0
        self.asked: list[str] = []
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.rotate("first")

    @property
    def url(self) -> str:
        """Return its URL, which its tokens have as `iss`."""
        return f"http://127.0.0.1:{self.port}"

    def rotate(self, kid: str, algorithm: str = "RS256", *, revoke: str | None = None) -> None:
        """Add a key, which signs from now on, and take another one away."""
        self.keys[kid] = (algorithm, private(kid, algorithm))
        if revoke:
            del self.keys[revoke]

    def token(self, *, kid: str | None = None, drop: str = "", key: Any = None, **claims: Any) -> str:
        """A token as the issuer signs it; `claims` change what it says, `drop` names one that it leaves out."""
        name = kid or next(reversed(self.keys))
        algorithm, own = self.keys.get(name, ("RS256", key))
        now = int(time.time())
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300, **claims}
        said.pop(drop, None)
        return jwt.encode(said, key or own, algorithm=algorithm, headers={"kid": name})

    def public(self, kid: str) -> bytes:
        """A public key as PEM: what everybody has, and a confused verifier would take for a shared secret."""
        return self.keys[kid][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def jwks(self) -> list[dict[str, Any]]:
        """The public keys."""
        listed = []
        for kid, (algorithm, key) in self.keys.items():
            family = jwt.algorithms.get_default_algorithms()[algorithm]
            listed.append({**family.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": algorithm, "use": "sig"})
        return listed

    def answer(self, path: str) -> bytes:
        """Return the content that it serves at a path."""
        if path in self.answers:
            return self.answers[path]
        if path == "/keys":
            return json.dumps({"keys": self.jwks()}).encode()
        return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()

    def listen(self) -> None:
        """Serve, at the same port as before if there was one."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                time.sleep(issuer.delay)
                content = issuer.answer(self.path)
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def listening_issuer() -> Iterator[Issuer]:
    """An issuer that serves until the block ends."""
    issuer = Issuer()
    issuer.listen()
    try:
        yield issuer
    finally:
        issuer.delay = 0
        issuer.stop()


def unsigned(claims: dict[str, Any], **header: Any) -> str:
    """A token with `alg: none` and no signature, or whatever else its header says."""
    parts = [json.dumps(part).encode() for part in ({"typ": "JWT", "alg": "none", **header}, claims)]
    return ".".join([*(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), ""])
