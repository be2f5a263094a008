"""Cost of an envelope, in process, over the same response without one: a small response, and a page of 100 rows.

`python -m benchmarks.extensions.envelope SERVICE`, with the Python of that rendered service; prints microseconds.
"""

import asyncio
import json
import sys
from pathlib import Path

from benchmarks.extensions import in_process


async def measure() -> dict[str, dict[str, float]]:
    """Each kind of answer by itself, since the cases are compared with the first."""
    from fastapi import APIRouter

    from app.core.http import endpoints
    from app.core.pagination import Links, Page
    from app.core.schema import Schema
    from app.core.versioning import versioned

    class Row(Schema):
        """A row."""

        id: int
        name: str

    rows = [Row(id=number, name="bolt") for number in range(100)]
    where = Links.model_validate({"self": "/rows", "first": "/rows"})
    found = {}
    for kind in ("small", "page"):
        bare, enveloped = endpoints.Router(prefix="/bare"), versioned("rows")
        for router in (bare, enveloped):
            if kind == "small":

                @router.get("")
                async def one() -> Row:
                    return rows[0]
            else:

                @router.get("")
                async def page() -> Page[Row]:
                    return Page(items=rows, page=1, size=100, total=100, pages=1, links=where)

        both = APIRouter()
        both.include_router(bare)
        both.include_router(enveloped)
        found[kind] = await in_process.added(both, {}, {"without": ("/bare", []), "with": ("/api/v1/rows", [])})
    return found


if __name__ == "__main__":
    in_process.enter(Path(sys.argv[1]).resolve())
    print(json.dumps(asyncio.run(measure())))
