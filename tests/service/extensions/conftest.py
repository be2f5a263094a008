"""One database for the tests of extensions, as for those of the core: a folder whose tests keep rows has its own."""

from tests.core.conftest import database_url, shared_database_url

__all__ = ["database_url", "shared_database_url"]
