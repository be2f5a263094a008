"""A slice with a cached price, which notes in a file each time that it is loaded."""

import asyncio
import os
from pathlib import Path

from fastapi import APIRouter

from app.core.component import Component
from app.extensions.redis import CacheDep, LocksDep, cached, key_for

router = APIRouter()
LOADS = Path(os.environ["LOADS_FILE"])
PRICE = "price:{product}"


def note(product: str) -> None:
    """Write it down for the test."""
    with LOADS.open("a") as file:
        file.write(f"{product}\n")


@cached(ttl=600, key=PRICE)
async def find_price(product: str, seconds: float = 0.0) -> dict[str, str]:
    """Take some time."""
    note(product)
    await asyncio.sleep(seconds)
    return {"product": product}


@router.get("/prices/{product}")
async def read_price(product: str, seconds: float = 0.0) -> dict[str, str]:
    """The price of a product."""
    return await find_price(product, seconds)


@router.delete("/prices/{product}")
async def forget_price(product: str, cache: CacheDep) -> None:
    """Have it loaded anew."""
    await cache.invalidate(key_for(PRICE, product=product))


@router.post("/reports")
async def report(locks: LocksDep) -> None:
    """Done by one process at a time."""
    async with locks.hold("report", seconds=5):
        await asyncio.sleep(0.5)


def component() -> Component:
    """Return the component of this slice."""
    return Component(name="prices", routers=[router])
