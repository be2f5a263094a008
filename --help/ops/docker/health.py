"""The image's HEALTHCHECK: exit status 0 while this container's service is ready, else 1 and the reason."""

import os
import sys
from http.client import HTTPConnection, HTTPException


def reason() -> str | None:
    """Why it is not ready. The image has no curl, and the standard library is enough."""
    port = int(os.environ.get("SERVER__PORT", "8000"))
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=4)
        connection.request("GET", "/health/ready")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"nothing answers on port {port}: {error}"
    return None if status == 200 else f"/health/ready answers {status}"


if __name__ == "__main__":
    sys.exit(reason())
