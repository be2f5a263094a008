"""A slice that calls another service, with and without `await`."""

from typing import Annotated, Any
from urllib.request import urlopen

from app.core.component import Component
from app.core.versioning import versioned
from app.extensions.outbound import Client, client, resilient

Billing = Annotated[Client, client("billing")]
router = versioned("invoices")


@router.get("")
async def read(billing: Billing) -> Any:
    """Return the response of the other service."""
    return (await billing.get("/invoices")).json()


@router.get("/by-thread")
def read_by_thread(address: str) -> str:
    """The same by a function of the standard library."""
    return fetch(address)


@resilient("billing")
def fetch(address: str) -> str:
    """A call that knows nothing of guards."""
    with urlopen(address, timeout=20) as answer:  # noqa: S310  # the test's own address
        return str(answer.read().decode())


def component() -> Component:
    """Return the component of this slice."""
    return Component(name="invoices", routers=[router])
