"""The tools beside the service: `python -m ops`, or `uv run ops`. It imports `app`, and nothing there imports it."""

from app.core.settings import Group
from ops.backups.settings import BackupsSettings

SETTINGS: list[type[Group]] = [BackupsSettings]
"""The settings of these tools. The service itself takes no notice of them, so both may read one `.env`."""
