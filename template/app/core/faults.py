"""What went wrong in a database, in words that all databases share."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Fault:
    """A refusal of the database. `unavailable` may work when it is tried again; the others never will."""

    kind: Literal["unique", "foreign_key", "not_null", "check", "value", "unavailable"]
    constraint: str | None = None
    columns: tuple[str, ...] = ()
