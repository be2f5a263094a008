"""PostgreSQL: it changes tables in place and checks every rule itself, so Alembic needs no option of its own."""

from typing import Any

CONFIGURATION: dict[str, Any] = {}
"""Options of Alembic's `context.configure`."""
