"""The URL of PostgreSQL, with the parameters that providers append: its check, and its forms for each client."""

import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from sqlalchemy import URL, make_url

SCHEMES = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS, as far as asyncpg has them.
VALUES = {
    "sslmode": "disable|allow|prefer|require|verify-ca|verify-full",
    "target_session_attrs": "any|primary|standby|read-write|read-only|prefer-standby",
    "channel_binding": "disable|prefer|require",
    "connect_timeout": "[1-9][0-9]*",
    "port": "[1-9][0-9]{0,4}",
    "pgbouncer": "true|false",
}
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
PARAMETERS = frozenset(
    {*VALUES, *FILES, "host", "user", "password", "dbname", "passfile", "sslpassword", "krbsrvname", "options"}
    | {"application_name", "ssl_min_protocol_version", "ssl_max_protocol_version"}
)
INSTEAD = {
    "connection_limit": "set DATABASE__POOL_SIZE",
    "pool_timeout": "set DATABASE__POOL_TIMEOUT",
    "command_timeout": "set DATABASE__COMMAND_TIMEOUT",
    "prepared_statement_cache_size": "write pgbouncer=true",
    "statement_cache_size": "write pgbouncer=true",
}
BOOLEANS = {"true": "require", "1": "require", "on": "require", "false": "disable", "0": "disable", "off": "disable"}
"""The values of `ssl`, the name that asyncpg and some providers have for `sslmode`."""


def checked(url: str) -> str:
    """Return the URL with the names of libpq for its parameters, or raise `ValueError`, which shows no password."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    if re.search(r"[/?#@\s]|%(?![0-9A-Fa-f]{2})", login):
        raise ValueError("has a user or password that a URL cannot hold: write %40 for @, %2F for /, %25 for %")
    try:
        parts = urlsplit(f"postgresql://{place}")
        (parts.hostname or "").encode("idna")
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        right = scheme in SCHEMES and place and not parts.fragment and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise ValueError("has to look like postgresql://host:5432/name, user:password@ before the host")
    if mode := given.pop("ssl", None):
        given.setdefault("sslmode", BOOLEANS.get(mode.lower(), mode))
    if mistakes := [mistake for name, value in given.items() if (mistake := _mistake(name, value))]:
        raise ValueError("; ".join(mistakes))
    said = {name: value for name, value in given.items() if value and (name, value) != ("pgbouncer", "false")}
    query = urlencode(said, quote_via=quote)
    return f"postgresql+asyncpg://{login}{at}{parts.netloc}{parts.path}" + (f"?{query}" if query else "")


def _mistake(name: str, value: str) -> str | None:
    if name not in PARAMETERS:
        return f"has the parameter {name}, which the driver does not know: {INSTEAD.get(name, 'remove it')}"
    if value and name in VALUES and not re.fullmatch(VALUES[name], value):
        known = "a number" if "[" in VALUES[name] else VALUES[name].replace("|", ", ")
        return f"has {name}={value}: it has to be {known}"
    if name in FILES and value not in {"", "system"} and not Path(value).is_file():
        return f"has {name}={value}, which is no file that this user can read"
    return None


def is_pooled(url: str) -> bool:
    """Return whether it is the URL of PgBouncer, which gives each transaction any connection to the server."""
    return make_url(url).query.get("pgbouncer") == "true"


def without_parameters(url: str) -> URL:
    """Return the URL for SQLAlchemy. The driver reads the parameters itself."""
    return make_url(url).set(query={})


def driver_arguments(url: str) -> dict[str, Any]:
    """Return the arguments of `asyncpg.connect()` for the parameters, which are those of libpq."""
    parsed = make_url(url).set(drivername="postgresql")
    given = {name: str(value) for name, value in parsed.query.items()}
    own = {name: given[name] for name in ("application_name", "options") if name in given}
    arguments: dict[str, Any] = {"server_settings": {"application_name": "app", **own}}
    if "connect_timeout" in given:
        arguments["timeout"] = float(given["connect_timeout"])
    if given.get("sslrootcert") == "system":
        arguments["ssl"] = ssl.create_default_context()
    elif given.get("channel_binding") == "require":  # asyncpg has none: a certificate that is checked protects as well
        arguments["ssl"] = ssl.create_default_context(cafile=given.get("sslrootcert"))
    parsed = parsed.difference_update_query([*own, "connect_timeout", "channel_binding", "pgbouncer"])
    return {"dsn": parsed.render_as_string(hide_password=False), **arguments}
