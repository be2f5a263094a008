"""Values of settings: lists, networks, origins and URLs are understood, or refused by name."""

from collections.abc import Callable
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from app.core.errors import ConfigurationInvalid
from app.core.http.security import HttpSettings
from app.core.server.serve import ServerSettings
from app.core.settings import Group, Settings, taken_by

UNDERSTOOD = {
    ("http", "cors_origins", "https://a.com/, http://b.com:8080,HTTPS://C.com:443"): (
        "https://a.com",
        "http://b.com:8080",
        "https://c.com",
    ),
    ("http", "cors_origins", '["https://a.com", "*"]'): ("https://a.com", "*"),
    ("http", "cors_origins", "chrome-extension://abc,http://[::1]:3000,null"): (
        "chrome-extension://abc",
        "http://[::1]:3000",
        "null",
    ),
    ("http", "trusted_hosts", '["a.com", "*.b.com"]'): ("a.com", "*.b.com"),
    ("http", "trusted_hosts", "a.com,, ,[::1]"): ("a.com", "[::1]"),
    ("server", "trusted_proxies", "10.0.0.0/8,127.0.0.1,::1,*"): ("10.0.0.0/8", "127.0.0.1", "::1", "*"),
}
NOT_UNDERSTOOD = {
    ("http", "cors_origins", "a.com"): "'a.com' is no origin",
    ("http", "cors_origins", "https://a.com/app"): "'https://a.com/app' is no origin",
    ("http", "cors_origins", "https://*.a.com"): "'https://*.a.com' is no origin",
    ("http", "cors_origins", '["https://a.com"'): "is no JSON list: write a,b,c",
    ("http", "trusted_hosts", "https://a.com,b.com:80"): "'https://a.com' is no host name",
    ("http", "trusted_hosts", "b.com:80"): "'b.com:80' is no host name",
    ("http", "request_timeout", "inf"): "Input should be a finite number",
    (
        "server",
        "trusted_proxies",
        "10.0.0.1/8",
    ): "'10.0.0.1/8' is an address and a network: write 10.0.0.0/8",
    ("server", "trusted_proxies", "proxy,10.0.0.0/8"): "'proxy' is no address and no network such as 10.0.0.0/8",
}


@pytest.mark.parametrize("given", UNDERSTOOD)
def test_a_list_is_understood(given: tuple[str, str, str], configured: Callable[..., Settings]) -> None:
    group, field, value = given
    settings = configured(**{group: {field: value}})
    groups: dict[str, Group] = {"http": settings.of(HttpSettings), "server": settings.of(ServerSettings)}
    assert getattr(groups[group], field) == UNDERSTOOD[given]


@pytest.mark.parametrize("given", NOT_UNDERSTOOD)
def test_a_wrong_entry_is_named(given: tuple[str, str, str], configured: Callable[..., Settings]) -> None:
    group, field, value = given
    with pytest.raises(ConfigurationInvalid) as caught:
        configured(**{group: {field: value}})
    (line,) = caught.value.mistakes
    assert line.startswith(f"{group}__{field}".upper() + f": {NOT_UNDERSTOOD[given]}")


class Refuser:
    """A client that does not take a URL, and says so with a password."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, _: str) -> object:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TypeError("__init__() got an unexpected keyword argument 'foo'"), "has the parameter foo that"),
        (ValueError('invalid URI query parameter: "bar"'), "has the parameter bar that"),
        (ValueError("invalid percent-encoded token: pa55"), "has a parameter or a database that"),
        (FileNotFoundError(2, "No such file or directory", "/no"), "names /no, which cannot be read"),
    ],
)
def test_a_url_that_its_client_does_not_take_is_one_line(error: Exception, said: str) -> None:
    kind = TypeAdapter(Annotated[str | None, taken_by(Refuser(error))])
    with pytest.raises(ValidationError, match=said) as caught:
        kind.validate_python("amqp://u:pa55@h")
    assert "pa55" not in caught.value.errors(include_input=False)[0]["msg"]
    assert kind.validate_python(None) is None
