"""The settings of backups: where they are kept, how they are locked, how many stay."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.core.settings import Group, ProjectPath, ProjectPaths, ServiceSettings, address
from ops.backups.sealing import Key


def _identity(key: SecretStr | None) -> SecretStr | None:
    if key is None or not key.get_secret_value().strip():
        return None
    Key(key.get_secret_value())
    return key


def _or_none(text: str | None) -> str | None:
    return text or None


Text = Annotated[str | None, AfterValidator(_or_none)]
"""A text that may be empty, which is as good as unset."""
Url = Annotated[str | None, address({"http", "https"}, "https://s3.example.com")]
URL = Field(None, description="The store's URL; unset: Amazon's.")
KEY = "The key's id; unset: `AWS_` variables or the machine's role."


class BackupsSettings(Group):
    """The settings of backups: where they are kept, how they are encrypted and how many are kept."""

    group: ClassVar[str] = "backups"
    directory: ProjectPath = Field(Path("var/backups"), description="The folder of the backups.")
    paths: ProjectPaths = Field((), description="Folders and files to back up with the database.")
    key: Annotated[SecretStr | None, AfterValidator(_identity)] = Field(
        None, description="The age identity that encrypts backups."
    )
    keep_daily: int = Field(7, ge=1, description="Days whose newest backup is kept.")
    keep_weekly: int = Field(4, ge=0, description="Weeks whose newest backup is kept.")
    keep_monthly: int = Field(12, ge=0, description="Months whose newest backup is kept.")
    metrics: ProjectPath | None = Field(None, description="The file for metrics; unset: `backups.prom` in the folder.")
    timeout: float = Field(60.0, gt=0, description="Seconds for one request to a store.")
    prefix: str = Field(
        default_factory=lambda: f"backups/{ServiceSettings().name}/",
        pattern=r"^([\w.-]+/)*$",
        description="The prefix of names in the buckets; unset: `backups/` and the service's name.",
    )
    bucket: Text = Field(None, description="The bucket of an S3-compatible store for copies.")
    endpoint: Url = URL
    region: str = Field("us-east-1", min_length=1, description="The bucket's region.")
    access_key: Text = Field(None, description=KEY)
    secret_key: SecretStr | None = Field(None, description="The key's secret.")
    replica_bucket: Text = Field(None, description="The bucket of a second store.")
    replica_endpoint: Url = URL
    replica_region: str = Field("us-east-1", min_length=1, description="The bucket's region.")
    replica_access_key: Text = Field(None, description=KEY)
    replica_secret_key: SecretStr | None = Field(None, description="The key's secret.")

    @model_validator(mode="after")
    def _whole_keys(self) -> Self:
        for prefix in ("", "replica_"):
            key, secret = getattr(self, f"{prefix}access_key"), getattr(self, f"{prefix}secret_key")
            if bool(key) != bool(secret and secret.get_secret_value()):
                name = f"BACKUPS__{prefix.upper()}"
                raise ValueError(f"{name}ACCESS_KEY and {name}SECRET_KEY go together: set both, or neither")
        if self.replica_bucket and not self.bucket:
            raise ValueError("BACKUPS__REPLICA_BUCKET is the second store: set BACKUPS__BUCKET too")
        return self
