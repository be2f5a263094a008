"""Settings: named groups, read from the environment, `.env` and the secrets directory as `GROUP__FIELD`."""

import json
import logging
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, ValidationError, create_model
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NestedSecretsSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from app.core.errors import ConfigurationInvalid
from app.core.observability.redaction import scrub

PROJECT = Path(__file__).parents[2]
"""The folder of the service. Relative paths in settings are below it, wherever the service is started from."""
ENV_FILE = PROJECT / ".env"
"""The file with the settings of this machine, unless the variable ENV_FILE names another one."""
PLACEHOLDER = "change-me"
"""The placeholder for secrets in `.env.example`; the service does not start with it."""


class Group(BaseModel):
    """The settings of one part of the service. `group` is the first half of the variables' names."""

    model_config = {
        "extra": "forbid",
        "frozen": True,
        "validate_default": True,
        "arbitrary_types_allowed": True,
        "allow_inf_nan": False,
    }
    group: ClassVar[str]


GroupT = TypeVar("GroupT", bound=Group)


def project(key: str) -> str:
    """Return a value of `[project]` in pyproject.toml."""
    path = PROJECT / "pyproject.toml"
    value: str = tomllib.loads(path.read_text(encoding="utf-8"))["project"][key]
    return value


class ServiceSettings(Group):
    """The name of the service, and where it runs."""

    group: ClassVar[str] = "service"
    name: str = Field(default_factory=lambda: project("name"), description="The service's name.")
    version: str = Field(default_factory=lambda: project("version"), description="The service's version.")
    environment: Literal["development", "test", "production"] = Field(
        "production", description="`development`, `test` or `production`."
    )

    @property
    def production(self) -> bool:
        return self.environment == "production"


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError("is no JSON list: write a,b,c") from error
    return [item.strip() for item in value.split(",") if item.strip()]


def each(check: Callable[[str], str]) -> AfterValidator:
    """Return the check of a list: `check` returns an entry as it is meant, or raises `ValueError`."""

    def checked(entries: tuple[str, ...]) -> tuple[str, ...]:
        mistakes, found = [], []
        for entry in entries:
            try:
                found.append(check(entry))
            except ValueError as error:
                mistakes.append(f"{entry!r} {error}")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return tuple(found)

    return AfterValidator(checked)


def matching(pattern: str, message: str) -> AfterValidator:
    """Return the check of a list whose entries all match a regular expression."""

    def check(entry: str) -> str:
        if not re.fullmatch(pattern, entry):
            raise ValueError(message)
        return entry

    return each(check)


def _network(entry: str) -> str:
    try:
        if entry != "*":
            ip_network(entry)
    except ValueError as error:
        if "host bits" in str(error):
            network = ip_network(entry, strict=False)
            raise ValueError(f"is an address and a network: write {network} or {entry.partition('/')[0]}") from error
        raise ValueError("is no address and no network such as 10.0.0.0/8") from error
    return entry


def _strong(secret: SecretStr) -> SecretStr:
    if PLACEHOLDER in secret.get_secret_value():
        raise ValueError("still holds the placeholder of .env.example: set a secret of your own, or run `make setup`")
    if len(secret.get_secret_value()) < 16:
        raise ValueError("has fewer than 16 characters: set a longer secret, or leave the variable out")
    return secret


def address(schemes: set[str], example: str) -> AfterValidator:
    """Return the check of a setting that is the URL of a server. Empty is unset."""

    def check(url: str | None) -> str | None:
        if PLACEHOLDER in (url or ""):
            raise ValueError("still holds the placeholder of .env.example: set a secret of your own")
        try:
            parts = urlsplit(url or "")
            (parts.hostname or "").encode("idna")  # raises as the client would at its first request
            somewhere = parts.hostname or "host=/" in parts.query  # the folder of a socket is in the query
            right = not url or (parts.scheme in schemes and somewhere and parts.port != 0)
        except ValueError:
            right = False
        if not right:
            raise ValueError(f"has to look like {example}")
        return url or None

    return AfterValidator(check)


def taken_by(client: Callable[[str], object]) -> AfterValidator:
    """Return the check of a URL by the client that it is for, which is made and does not connect."""

    def check(url: str | None) -> str | None:
        try:
            if url:
                client(url)
        except OSError as error:
            raise ValueError(f"names {error.filename}, which cannot be read ({error.strerror})") from error
        except Exception as error:  # whatever the library raises; what it says may have the password
            named = re.search(r"(?:argument|parameter:|value for) ['\"](\w+)['\"]", str(error))
            what = f"the parameter {named[1]}" if named else "a parameter or a database"
            raise ValueError(f"has {what} that its client does not take: remove or correct it") from error
        return url

    return AfterValidator(check)


def located(path: Path) -> Path:
    """Return the whole path of a file or folder: a relative one is below the project, wherever the service starts."""
    here, meant = path.absolute(), PROJECT / path
    if here.exists() and not meant.exists():
        raise ValueError(f"names {meant}, which does not exist, but {here} does: write the whole path of one of them")
    return meant


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A list, written `a,b,c` or as a list of JSON."""
Networks = Annotated[CommaSeparated, each(_network)]
"""Addresses and networks, or `*`."""
Paths = Annotated[CommaSeparated, matching(r"/\S*", "is no path: begin it with /")]
"""Paths of requests."""
Secret = Annotated[SecretStr, AfterValidator(_strong)]
"""A secret of 16 characters or more that is not the placeholder of `.env.example`."""
ProjectPath = Annotated[Path, AfterValidator(located)]
"""A path of a file or folder; a relative one is below the project."""
ProjectPaths = Annotated[
    CommaSeparated, AfterValidator(lambda paths: tuple(str(located(Path(path))) for path in paths))
]
"""Several of them, written `a,b,c`."""


class Settings:
    """The groups, each by its class: `settings.of(LogSettings).level`."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._groups = {type(group): group for group in groups}

    def of(self, group: type[GroupT]) -> GroupT:
        """Return the group of this class."""
        found = self._groups.get(group)
        if isinstance(found, group):
            return found
        raise LookupError(f"{group.__name__} is in no SETTINGS list: add it to the one of its package")


class _Root(BaseSettings):
    """The sources. The first that has a value wins: arguments, environment, `.env`, secrets directory, default."""

    model_config = SettingsConfigDict(
        env_nested_delimiter="__", enable_decoding=False, extra="ignore", secrets_nested_delimiter="__"
    )

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # pydantic passes the sources by name
        cls, _: type[BaseSettings], *, file_secret_settings: PydanticBaseSettingsSource, **sources: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        for name in ("env_settings", "dotenv_settings"):  # LOG=1 is of another program: a name without __ is not read
            given = sources[name].env_vars
            sources[name].env_vars = {name: value for name, value in given.items() if "__" in name}
        secrets = NestedSecretsSettingsSource(file_secret_settings)
        secrets.env_vars = {name: value for name, value in secrets.env_vars.items() if value}  # an empty file is unset
        return *sources.values(), secrets


def load(
    groups: Sequence[type[Group]],
    *,
    env_file: Path | None = ENV_FILE,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Read every group. `overrides` win over all sources.

    Raises:
        ConfigurationInvalid: one line for each wrong, missing or unknown variable, or for a file that cannot be read.
    """
    if env_file is ENV_FILE and "ENV_FILE" in os.environ:
        env_file = Path(os.environ["ENV_FILE"])
        if not env_file.exists() or env_file.is_dir():
            raise ConfigurationInvalid(f"ENV_FILE: there is no file {env_file}: correct or unset it")
    names = {group.group: group for group in groups}
    if len(names) < len(groups):
        raise ValueError(f"two settings groups share a name: {sorted(group.group for group in groups)}")
    values: dict[str, Any] = dict(overrides or {})
    fields: dict[str, Any] = {name: (group, Field(default_factory=dict)) for name, group in names.items()}
    directory = Path(os.environ.get("SECRETS_DIR", "/run/secrets"))
    try:
        secrets = directory if directory.is_dir() else None
        mistakes = [*_unreadable_lines(env_file), *_misspelt_groups(names, env_file, secrets)]
        root = create_model("Root", __base__=_Root, **fields)(_env_file=env_file, _secrets_dir=secrets, **values)
    except ValidationError as error:
        mistakes += [_line(mistake, names) for mistake in error.errors(include_url=False)]
    except OSError as error:
        raise ConfigurationInvalid(
            f"{error.filename} cannot be read ({error.strerror}): let the user of the service read it"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationInvalid(f"{env_file} cannot be read (no text in UTF-8): write it anew") from error
    if mistakes:
        raise ConfigurationInvalid(*mistakes)
    return Settings(getattr(root, name) for name in names)


def _unreadable_lines(env_file: Path | None) -> list[str]:
    logging.getLogger("dotenv").setLevel(logging.ERROR)  # it would warn of the same lines, without a name of the file
    if env_file is None or not env_file.exists():
        return []
    with env_file.open(encoding="utf-8") as stream:
        lines = [binding.original.line for binding in parse_stream(stream) if binding.error]
    return [f"{env_file}, line {line}: is no setting: write NAME=value" for line in lines]


def _misspelt_groups(names: Mapping[str, type[Group]], env_file: Path | None, secrets: Path | None) -> list[str]:
    written = dotenv_values(env_file) if env_file else {}
    lines = []
    for variable in sorted({*os.environ, *written, *(path.name for path in (secrets.iterdir() if secrets else ()))}):
        group, delimiter, field = variable.lower().partition("__")
        close = get_close_matches(group, names, n=1, cutoff=0.8)
        if delimiter and group not in names and close:
            lines.append(f"{variable}: unknown setting, did you mean {close[0].upper()}__{field.upper()}?")
    return lines


def _line(mistake: ErrorDetails, names: Mapping[str, type[Group]]) -> str:
    location = [str(part) for part in mistake["loc"]]
    variable = "__".join(part for part in mistake["loc"] if isinstance(part, str)).upper()
    fields = names[location[0]].model_fields if location[0] in names else {}
    if mistake["type"] == "extra_forbidden":
        close = get_close_matches(location[1], fields if len(location) == 2 else (), n=1, cutoff=0.6)
        hint = f"did you mean {location[0].upper()}__{close[0].upper()}?" if close else ""
        return f"{variable}: unknown setting, {hint or 'remove it, or see docs/configuration.md'}"
    if mistake["type"] == "missing":
        return f"{variable}: is required, see docs/configuration.md"
    message = mistake["msg"].removeprefix("Value error, ")
    field = fields.get(location[1]) if len(location) > 1 else None
    if field is None or not field.repr or "SecretStr" in str(field.annotation):
        return f"{variable}: {message}"
    return f"{variable}: {message} (is {scrub(str(mistake['input']))!r})"
