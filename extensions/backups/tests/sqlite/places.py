"""The URLs of databases that a test knows by name."""


def named(_: str, name: str) -> str:
    """The database that a restore has set aside."""
    return f"sqlite+aiosqlite:///{name}"


def gone(url: str) -> str:
    """A database that is not there."""
    return url.replace("/databases-", "/databases-gone-")
