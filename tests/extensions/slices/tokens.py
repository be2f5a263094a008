"""Keys and tokens of an issuer, good ones and such that must not open anything, with the libraries of a service.

`python tokens.py ISSUER` prints them as JSON: `keys` and `tokens`, by their names.
"""

import hmac
import json
import sys
import time
from base64 import urlsafe_b64encode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

issuer, now = sys.argv[1], int(time.time())
claims = {"iss": issuer, "aud": "api", "sub": "ada", "exp": now + 3600}
first, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
second = ec.generate_private_key(ec.SECP256R1())


def token(key=first, algorithm="RS256", kid="first", **changed):
    return jwt.encode({**claims, **changed}, key, algorithm=algorithm, headers={"kid": kid})


def unsigned(algorithm):
    parts = ({"typ": "JWT", "alg": algorithm, "kid": "first"}, claims)
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


def confused():
    """HS256, with the public key that everybody has as its secret."""
    public = first.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = unsigned("HS256")
    signature = hmac.digest(public, head.encode(), "sha256")
    return f"{head}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


families = jwt.algorithms.get_default_algorithms()
public = {"first": ("RS256", first.public_key()), "second": ("ES256", second.public_key())}
made = {
    "keys": {
        name: {**families[algorithm].to_jwk(key, as_dict=True), "kid": name, "alg": algorithm, "use": "sig"}
        for name, (algorithm, key) in public.items()
    },
    "tokens": {
        "first": token(),
        "second": token(second, "ES256", "second"),
        "writing": token(scope="profiles:read profiles:write"),
        "forged": token(other),
        "forged, of a key of its own": token(other, kid="other"),
        "expired": token(exp=now - 3600),
        "not yet": token(nbf=now + 3600),
        "for another audience": token(aud="other"),
        "of another issuer": token(iss="https://evil.example.com"),
        "alg none": f"{unsigned('none')}.",
        "alg none with a signature": f"{unsigned('none')}.{token().rpartition('.')[2]}",
        "public key as secret": confused(),
        "no token": "abc",
    },
}
sys.stdout.write(json.dumps(made))
