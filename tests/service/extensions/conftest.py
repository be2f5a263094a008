"""One database for the tests of the extensions, as for those of the core. Where tests keep rows, each has its own."""

from tests.core.conftest import database_url, shared_database_url

__all__ = ["database_url", "shared_database_url"]
