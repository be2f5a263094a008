"""Settings: where they come from, and what is said of a mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from app.core.errors import ConfigurationInvalid
from app.core.settings import PROJECT, CommaSeparated, Group, ProjectPath, Secret, Settings, address, load

SECRET = "a-secret-of-sixteen-or-more"  # noqa: S105  # what the tests set
Load = Callable[[], "ShopSettings"]


class ShopSettings(Group):
    """A group of the tests' own."""

    group: ClassVar[str] = "shop"
    port: int = Field(1, ge=1)
    origins: CommaSeparated = ()
    key: Secret | None = None
    url: str = "proto://"
    broker: Annotated[str | None, address({"amqp", "amqps"}, "amqp://user:password@host:5672")] = Field(
        None, repr=False
    )


class PlaceSettings(Group):
    """Paths."""

    group: ClassVar[str] = "place"
    folder: ProjectPath = Path("var/things")
    file: ProjectPath | None = None


class NeedySettings(Group):
    """One without which nothing goes."""

    group: ClassVar[str] = "needy"
    name: str


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "secrets"))
    (tmp_path / "secrets").mkdir()
    return lambda: load([ShopSettings], env_file=tmp_path / ".env").of(ShopSettings)


def mistakes(read: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigurationInvalid) as caught:
        read()
    return list(caught.value.mistakes)


def test_without_anything_the_defaults_hold(read: Load) -> None:
    assert read() == ShopSettings()


def test_a_variable_is_group_and_field(read: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP__PORT", "8080")
    monkeypatch.setenv("shop__origins", " https://a.example ,https://b.example,")
    assert (read().port, read().origins) == (8080, ("https://a.example", "https://b.example"))


def test_the_environment_goes_before_the_file_and_the_file_before_the_secrets(
    read: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secrets" / "shop__port").write_text("2\n")
    assert read().port == 2
    (tmp_path / ".env").write_text("SHOP__PORT=3\n")
    assert read().port == 3
    monkeypatch.setenv("SHOP__PORT", "4")
    assert read().port == 4


def test_a_relative_path_is_below_the_project_wherever_the_service_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> PlaceSettings:
        return load([PlaceSettings], env_file=None).of(PlaceSettings)

    monkeypatch.chdir(tmp_path)
    assert read() == PlaceSettings(folder=PROJECT / "var/things", file=None)
    monkeypatch.setenv("PLACE__FILE", str(tmp_path / "a"))
    assert read().file == tmp_path / "a"
    monkeypatch.setenv("PLACE__FILE", "some/file")
    assert read().file == PROJECT / "some/file"
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "file").touch()
    assert mistakes(read) == [
        f"PLACE__FILE: names {PROJECT / 'some/file'}, which does not exist, but {tmp_path / 'some/file'} does: "
        "write the whole path of one of them (is 'some/file')"
    ]


def test_a_secret_is_read_from_a_file_and_shown_to_nobody(read: Load, tmp_path: Path) -> None:
    (tmp_path / "secrets" / "shop__key").write_text(SECRET)
    settings = read()
    assert settings.key
    assert settings.key.get_secret_value() == SECRET
    assert SECRET not in repr(settings)


def test_an_empty_secret_is_refused(read: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP__KEY", "")
    assert mistakes(read) == ["SHOP__KEY: has fewer than 16 characters: set a longer secret, or leave the variable out"]


@pytest.mark.parametrize(
    "url",
    [
        "amqp://localhost",
        "amqps://user:p%40ss@broker.example:5671/queue?heartbeat=10",
        "amqp://[::1]:5672",
        "amqp:///queue?host=/run/broker",
    ],
)
def test_the_address_of_a_server_is_taken_as_it_is(read: Load, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SHOP__BROKER", url)
    assert read().broker == url


def test_an_empty_address_is_unset(read: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP__BROKER", "")
    assert read().broker is None


@pytest.mark.parametrize(
    "url",
    [
        "localhost:5672",
        "http://localhost",
        "amqp://",
        "amqp://host:0",
        "amqp://host:port",
        "amqp://[::1",
        "amqp://a..b",
    ],
)
def test_what_is_no_address_is_refused(read: Load, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SHOP__BROKER", url)
    assert mistakes(read) == ["SHOP__BROKER: has to look like amqp://user:password@host:5672"]


def test_an_address_with_the_placeholder_is_refused(read: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP__BROKER", "amqp://user:change-me@host")
    assert mistakes(read)[0].startswith("SHOP__BROKER: still holds the placeholder")


@pytest.mark.parametrize("name", ["SHOP", "LOG", "SERVICE", "BROKER_PORT", "SHOP_PORT"])
def test_a_name_without_two_underscores_is_somebody_elses(
    read: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:1")
    (tmp_path / ".env").write_text(f"{name}=1\n")
    assert read() == ShopSettings()


def test_other_peoples_groups_are_left_alone(read: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDKIT__VERSION", "1")
    assert read() == ShopSettings()


def test_each_mistake_is_a_line_by_the_name_of_its_variable(read: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP__PORT", "0")
    monkeypatch.setenv("SHOP__PROT", "1")
    monkeypatch.setenv("SHOP__COLOUR", "red")
    monkeypatch.setenv("SHOPP__PORT", "1")
    assert sorted(mistakes(read)) == [
        "SHOPP__PORT: unknown setting, did you mean SHOP__PORT?",
        "SHOP__COLOUR: unknown setting, remove it, or see docs/configuration.md",
        "SHOP__PORT: Input should be greater than or equal to 1 (is '0')",
        "SHOP__PROT: unknown setting, did you mean SHOP__PORT?",
    ]


@pytest.mark.parametrize("place", [".env", "secrets"])
def test_a_mistake_is_found_wherever_it_stands(read: Load, tmp_path: Path, place: str) -> None:
    if place == ".env":
        (tmp_path / ".env").write_text("SHOP__PROT=1\nSHOPP__PORT=1\n")
    else:
        (tmp_path / "secrets" / "shop__prot").write_text("1")
        (tmp_path / "secrets" / "shopp__port").write_text("1")
    assert len(mistakes(read)) == 2


def test_a_folder_that_may_not_be_read_is_named(read: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refused)
    (line,) = mistakes(read)
    assert line.startswith(f"{tmp_path / 'secrets'} cannot be read (Permission denied): ")


def test_an_empty_file_of_the_secrets_directory_is_unset(read: Load, tmp_path: Path) -> None:
    (tmp_path / "secrets" / "shop__key").write_text("\n")
    assert read().key is None


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "none"))
    assert mistakes(lambda: load([NeedySettings], env_file=None)) == [
        "NEEDY__NAME: is required, see docs/configuration.md"
    ]


@pytest.mark.parametrize(
    ("value", "why"), [("change-me", "placeholder"), ("change-me-change-me-change-me", "placeholder"), ("short", "16")]
)
def test_a_default_or_short_secret_is_refused_and_not_shown(
    read: Load, monkeypatch: pytest.MonkeyPatch, value: str, why: str
) -> None:
    monkeypatch.setenv("SHOP__KEY", value)
    (line,) = mistakes(read)
    assert line.startswith("SHOP__KEY: ")
    assert why in line
    assert value not in line


def test_a_mistake_shows_no_password(monkeypatch: pytest.MonkeyPatch, read: Load) -> None:
    monkeypatch.setenv("SHOP__PORT", "proto://me:s3cr3t@host/name")
    (line,) = mistakes(read)
    assert "s3cr3t" not in line


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(ShopSettings(), "port", 2)  # noqa: B010  # mypy knows, too


def test_a_group_that_nobody_handed_over_is_named() -> None:
    with pytest.raises(LookupError, match="NeedySettings is in no SETTINGS list"):
        Settings([ShopSettings()]).of(NeedySettings)


def test_two_groups_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="share a name"):
        load([ShopSettings, ShopSettings], env_file=None)


def test_a_file_that_is_named_and_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "none"))
    assert mistakes(lambda: load([ShopSettings])) == [
        f"ENV_FILE: there is no file {tmp_path / 'none'}: correct or unset it"
    ]
    monkeypatch.setenv("ENV_FILE", str(tmp_path))
    assert mistakes(lambda: load([ShopSettings])) == [f"ENV_FILE: there is no file {tmp_path}: correct or unset it"]


def test_a_line_that_cannot_be_read_is_named_beside_the_other_mistakes(
    read: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_text('# a comment\nSHOP__PORT=0\nexport SHOP__URL=a\npassword is pa55\nA="open\n')
    place = f"{tmp_path / '.env'}, line"
    *lines, port = mistakes(read)
    assert lines == [f"{place} 4: is no setting: write NAME=value", f"{place} 5: is no setting: write NAME=value"]
    assert port.startswith("SHOP__PORT: ")
    assert not caplog.records


def test_a_file_that_is_no_text_is_one_line(read: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    assert mistakes(read) == [f"{tmp_path / '.env'} cannot be read (no text in UTF-8): write it anew"]
