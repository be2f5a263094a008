"""The URLs of databases that a test knows by name."""

from sqlalchemy import make_url


def named(url: str, name: str) -> str:
    """The database that a restore has set aside."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def gone(url: str) -> str:
    """A database that is not there."""
    return named(url, f"gone_{make_url(url).database}")
