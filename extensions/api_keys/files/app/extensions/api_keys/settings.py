"""The settings of API keys."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.core.settings import Group

Scope = Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,64}$")]
"""RFC 6749, 3.3: printable ASCII but for space, quote and backslash."""


class StoredKey(BaseModel):
    """The stored form of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    client: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    id: str = Field(pattern=r"^ak_[0-9a-f]{12}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = ()
    expires: AwareDatetime | None = None

    @property
    def expired(self) -> bool:
        return self.expires is not None and self.expires <= datetime.now(UTC)


def _read(text: object) -> object:
    """Return the entries of a JSON list, or of one JSON object a line."""
    if not isinstance(text, str):
        return text
    try:
        lines = [text] if text.lstrip().startswith("[") else [line for line in text.splitlines() if line.strip()]
        entries = [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise ValueError("is no JSON list, nor one JSON object a line as `make api-key` prints them") from error
    listed = entries[0] if entries and isinstance(entries[0], list) else entries
    return tuple(_entry(number, entry) for number, entry in enumerate(listed, start=1))


def _entry(number: int, entry: Any) -> StoredKey:
    try:
        return StoredKey.model_validate(entry)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in ("key", number, *mistake["loc"]))
        raise ValueError(f"{place}: {mistake['msg']}") from error


def _each_once(keys: tuple[StoredKey, ...]) -> tuple[StoredKey, ...]:
    ids = [key.id for key in keys]
    if twice := next((one for one in ids if ids.count(one) > 1), None):
        raise ValueError(f"{twice} is there twice: remove one of the two")
    return keys


class ApiKeysSettings(Group):
    """The keys of clients."""

    group: ClassVar[str] = "api_keys"
    keys: Annotated[tuple[StoredKey, ...], BeforeValidator(_read), AfterValidator(_each_once)] = Field(
        (), repr=False, description="The lines that `make api-key` prints, or a JSON list of them."
    )
