"""Fixtures that these tests share with the live ones: services rendered once each, started, and stopped at the end."""

from tests.live.conftest import new_database, postgres_server, rendered, run, shared

__all__ = ["new_database", "postgres_server", "rendered", "run", "shared"]
