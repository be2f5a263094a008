"""The delivery: a thread of the SDK sends, and when it cannot, the log says so once a minute."""

import logging
from time import monotonic
from typing import Any

from sentry_sdk.transport import HttpTransport

logger = logging.getLogger(__name__)

PAUSE = 60.0
"""Seconds between two warnings."""


class Delivery(HttpTransport):
    """Requests hand over to a queue of bounded length, and never wait for it."""

    _warned = float("-inf")

    def _get_pool_options(self) -> dict[str, Any]:
        # A retry follows at once and helps nobody, but logs each time; and nobody else is to be sent this.
        return {**super()._get_pool_options(), "retries": False}

    def on_dropped_event(self, _reason: str) -> None:
        """Say that something is lost."""
        if monotonic() - self._warned >= PAUSE:
            self._warned = monotonic()
            logger.warning("sentry does not take what it is sent (%s): errors are in the log alone", _reason)
