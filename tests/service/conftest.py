"""Keeps the tests below these folders for services: they import a service's code."""

from tests.live.conftest import new_database, postgres_server, rendered, shared
from tests.service.overlay import ALWAYS

__all__ = ["new_database", "postgres_server", "rendered", "shared"]

collect_ignore = ALWAYS
