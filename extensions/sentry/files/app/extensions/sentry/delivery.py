"""The delivery: a thread of the SDK sends, and when it cannot, the log says so once a minute."""

import logging
from typing import Any

from sentry_sdk.transport import HttpTransport

from app.core.data.outage import Seldom

logger = logging.getLogger(__name__)


class Delivery(HttpTransport):
    """Requests hand over to a queue of bounded length, and never wait for it."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._due = Seldom()

    def _get_pool_options(self) -> dict[str, Any]:
        # A retry follows at once and helps nobody, but logs each time; and nobody else is to be sent this.
        return {**super()._get_pool_options(), "retries": False}

    def on_dropped_event(self, _reason: str) -> None:
        """Say that something is lost."""
        if self._due():
            logger.warning("sentry does not take what it is sent (%s): errors are in the log alone", _reason)
