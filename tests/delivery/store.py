"""A store that speaks S3's protocol, behind a proxy that speaks TLS; processes of their own."""

import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.delivery.tools import tool
from tests.live.service import BOUND, free_port

PROXY = """\
{{
    admin off
    skip_install_trust
}}
https://localhost:{port} {{
    tls internal
    reverse_proxy 127.0.0.1:{behind}
}}
"""


@dataclass(frozen=True)
class Store:
    """The address of a store, the certificate of its authority, and a client; the store takes any key."""

    address: str
    certificate: Path
    http: httpx2.Client

    def listed(self, bucket: str) -> str:
        """Return the content of a bucket, as the store lists it."""
        return self.http.get(f"/{bucket}", params={"list-type": "2"}).raise_for_status().text


@contextmanager
def storing(python: Path, folder: Path, bucket: str) -> Iterator[Store]:
    """Run one with an empty bucket. The Python is that of a service, which has moto for its own tests."""
    port, behind = free_port(), free_port()
    (folder / "Caddyfile").write_text(PROXY.format(port=port, behind=behind))
    environment = os.environ | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    store = [str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(behind)]
    proxy = [tool("caddy"), "run", "--config", str(folder / "Caddyfile")]
    certificate = folder / "caddy/pki/authorities/local/root.crt"
    with (
        (folder / "store.log").open("ab") as log,
        subprocess.Popen(store, stdout=log, stderr=log) as behind_it,
        subprocess.Popen(proxy, stdout=log, stderr=log, env=environment) as proxying,
    ):
        try:
            deadline = time.monotonic() + BOUND
            while not _answers(port, certificate, bucket):
                assert time.monotonic() < deadline, (folder / "store.log").read_text()
                time.sleep(0.1)
            with httpx2.Client(base_url=f"https://localhost:{port}", verify=_trust(certificate), timeout=BOUND) as http:
                yield Store(f"localhost:{port}", certificate, http)
        finally:
            behind_it.kill()
            proxying.kill()


def _trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def _answers(port: int, certificate: Path, bucket: str) -> bool:
    with suppress(OSError, httpx2.TransportError):  # no certificate yet, or no listener
        return httpx2.put(f"https://localhost:{port}/{bucket}", verify=_trust(certificate)).is_success
    return False
