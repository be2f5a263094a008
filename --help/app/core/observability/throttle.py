"""A throttle for warnings of what may happen a thousand times a second."""

from time import monotonic


class Throttle:
    """Let one call pass each minute: `if throttle(): logger.warning(...)`."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self) -> bool:
        """Return true if the last call that passed is a minute ago."""
        if monotonic() - self._last < 60:
            return False
        self._last = monotonic()
        return True
