"""The settings of Sentry."""

from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from app.core.settings import Group


class SentrySettings(Group):
    """The destination of errors, and their labels."""

    group: ClassVar[str] = "sentry"
    dsn: SecretStr | None = Field(None, description="The address of your Sentry project; unset: off.")
    environment: str | None = Field(None, description="The environment; unset: `SERVICE__ENVIRONMENT`.")
    release: str | None = Field(None, description="The release; unset: name and version.")
    traces_sample_rate: float = Field(0.0, ge=0, le=1, description="The share of requests that are timed.")
    shutdown_timeout: float = Field(2.0, ge=0, description="Seconds to send waiting events on a stop.")

    @field_validator("dsn")
    @classmethod
    def _names_a_project(cls, dsn: SecretStr | None) -> SecretStr | None:
        if dsn is None or not dsn.get_secret_value():
            return None
        from sentry_sdk.utils import Dsn  # 0.2 s that a service without a DSN saves

        try:
            Dsn(dsn.get_secret_value())
        except ValueError as error:
            raise ValueError("has to look like https://key@sentry.example.com/1") from error
        return dsn
