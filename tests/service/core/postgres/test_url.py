"""The URL of PostgreSQL as hosting providers hand it out: understood, or refused in one line that shows no password."""

import re
from collections.abc import Callable
from pathlib import Path
from ssl import CERT_REQUIRED

import asyncpg  # type: ignore[import-untyped]
import pytest

from app.core.data.engine import DatabaseSettings
from app.core.data.url import driver_arguments, is_pooled
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings

pytestmark = pytest.mark.anyio

PASSWORD = "pa55"  # noqa: S105  # what no line may show
HANDED_OUT = {
    "Heroku": "postgres://u:pa55@ec2-1.compute-1.amazonaws.com:5432/d1",
    "Render": "postgresql://u:pa55@dpg-1-a.oregon-postgres.render.com/d1?ssl=true",
    "Railway": "postgresql://postgres:pa55@containers-us-west-1.railway.app:6543/railway",
    "Supabase": "postgresql://postgres.ref:pa55@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true",
    "Neon": "postgresql://u:pa55@ep-1-pooler.neon.tech/d1?sslmode=require&channel_binding=require"
    "&options=endpoint%3Dep-1",
    "RDS": f"postgresql://u:pa55@d1.eu.rds.amazonaws.com:5432/d1?sslmode=verify-full&sslrootcert={__file__}",
    "Fly": "postgres://postgres:pa55@d1.flycast:5432/d1?sslmode=disable",
    "others": "postgresql://u:pa55@h/d?application_name=x&connect_timeout=10&target_session_attrs=read-write",
    "special characters": "postgresql://u%40x:p%2Fa%23%3A@[::1]:5433/d",
    "a socket": "postgresql://u@/d?host=/run/postgresql",
}
REFUSED = {
    "foo=bar": "has the parameter foo, which the driver does not know: remove it",
    "connection_limit=1": "has the parameter connection_limit, which the driver does not know: set DATABASE__POOL_SIZE",
    "sslmode=on&x=1": "has sslmode=on: it has to be disable, allow, prefer, require, verify-ca, verify-full; "
    "has the parameter x, which the driver does not know: remove it",
    "ssl=maybe": "has sslmode=maybe: it has to be disable, allow, prefer, require, verify-ca, verify-full",
    "sslrootcert=/no/such": "has sslrootcert=/no/such, which is no file that this user can read",
    "connect_timeout=soon": "has connect_timeout=soon: it has to be a number",
    "pgbouncer=1": "has pgbouncer=1: it has to be true, false",
}
UNREADABLE = [
    "u:pa55@h:x/d",
    "u:pa55@h:99999/d",
    "u:pa55@h:0/d",
    "u:pa55@a..b/d",
    "u:pa55@h/d#x",
    "u:pa55@h/d?x",
    "u:pa55@",
    "",
]
NOT_ENCODED = ["u:pa55@x@h/d", "u:pa55/x@h/d", "u:pa55#x@h/d", "u:pa55?x@h/d", "u:pa55%x@h/d"]


@pytest.fixture
def url(configured: Callable[..., Settings]) -> Callable[[str], str]:
    return lambda given: configured(database={"url": given}).of(DatabaseSettings).url


def refusal(url: Callable[[str], str], given: str) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        url(given)
    (line,) = caught.value.mistakes
    assert PASSWORD not in line
    return line.removeprefix("DATABASE__URL: ")


@pytest.mark.parametrize("provider", HANDED_OUT)
async def test_the_driver_takes_the_url_of_a_provider(
    provider: str, url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", lambda *_, **__: None)
    here = re.sub(r"(pa55|%3A)@[^/]+/", r"\1@127.0.0.1:1/", HANDED_OUT[provider])  # where nothing listens
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        await asyncpg.connect(**driver_arguments(url(here)))


def test_each_parameter_means_the_same_as_in_libpq(url: Callable[[str], str]) -> None:
    assert url(HANDED_OUT["Render"]).endswith("?sslmode=require")
    neon = driver_arguments(url(HANDED_OUT["Neon"]))
    assert neon["server_settings"] == {"application_name": "app", "options": "endpoint=ep-1"}
    assert neon["ssl"].verify_mode == CERT_REQUIRED
    assert neon["ssl"].check_hostname
    others = driver_arguments(url(HANDED_OUT["others"]))
    assert (others["timeout"], others["server_settings"]) == (10.0, {"application_name": "x"})
    assert others["dsn"] == "postgresql://u:pa55@h/d?target_session_attrs=read-write"
    assert is_pooled(url(HANDED_OUT["Supabase"]))
    assert not is_pooled(url("postgresql://h/d?pgbouncer=false"))
    special = driver_arguments(url(HANDED_OUT["special characters"]))["dsn"]
    assert special == "postgresql://u%40x:p%2Fa%23%3A@[::1]:5433/d"


@pytest.mark.parametrize("query", REFUSED)
def test_a_parameter_that_does_not_work_is_named(query: str, url: Callable[[str], str]) -> None:
    assert refusal(url, f"postgres://u:pa55@h/d?{query}") == REFUSED[query]


@pytest.mark.parametrize("rest", UNREADABLE)
def test_what_is_no_url_is_refused(rest: str, url: Callable[[str], str]) -> None:
    assert refusal(url, f"postgresql://{rest}").startswith("has to look like postgresql://host:5432/name")


@pytest.mark.parametrize("rest", NOT_ENCODED)
def test_a_password_that_is_not_encoded_is_refused(rest: str, url: Callable[[str], str]) -> None:
    assert refusal(url, f"postgresql://{rest}").startswith("has a user or password that a URL cannot hold: write %40")


def test_a_certificate_that_cannot_be_read_is_one_line(url: Callable[[str], str], tmp_path: Path) -> None:
    assert "is no file" in refusal(url, f"postgresql://h/d?sslrootcert={tmp_path}")
