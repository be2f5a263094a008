"""Labels: the series of a family stay few, whatever values the events bring."""

from collections import defaultdict
from collections.abc import Callable
from typing import Generic, TypeVar

ChildT = TypeVar("ChildT")

LIMIT = 100
OTHER = "other"


class Children(dict[tuple[object, ...], ChildT], Generic[ChildT]):
    """The child of each combination of label values: made once, then found by one look-up.

    A label keeps its first `limit` values; what comes after them is counted together as `other`.
    """

    def __init__(self, make: Callable[..., ChildT], *, limit: int = LIMIT) -> None:
        super().__init__()
        self.make = make
        self.limit = limit
        self._kept: defaultdict[int, set[object]] = defaultdict(set)

    def __missing__(self, values: tuple[object, ...]) -> ChildT:
        """Make the child. Only what keeps its own values is remembered, so the memory is bounded too."""
        kept = tuple(self._keep(*position) for position in enumerate(values))
        child = self.make(*kept)
        if kept == values:
            self[values] = child
        return child

    def _keep(self, position: int, value: object) -> object:
        kept = self._kept[position]
        if value not in kept and len(kept) >= self.limit:
            return OTHER
        kept.add(value)
        return value
