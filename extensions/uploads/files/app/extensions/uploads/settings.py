"""The settings of uploads: what is taken, and where it is stored."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.core.settings import CommaSeparated, Group, ProjectPath
from app.extensions.uploads.kinds import KINDS


def _known(types: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := sorted(set(types) - set(KINDS)):
        raise ValueError(f"{', '.join(unknown)} has no signature here: name some of {', '.join(KINDS)}")
    return types


class UploadsSettings(Group):
    """What is taken, and where it is stored."""

    group: ClassVar[str] = "uploads"
    types: Annotated[CommaSeparated, AfterValidator(_known)] = Field(
        ("pdf", "png", "jpg", "jpeg", "gif", "webp", "txt", "csv"),
        description="Accepted extensions. Also known: `mp4`, `zip`, `docx`, `xlsx`, `json`.",
    )
    file_limit: int = Field(10_485_760, ge=1, description="The largest file in bytes.")
    files: int = Field(10, ge=1, le=1000, description="The most files in one request.")
    receive_timeout: float = Field(300.0, gt=0, description="Seconds in which the files of a request must arrive.")
    directory: ProjectPath = Field(Path("var/uploads"), description="The folder of the files, without a bucket.")
    bucket: str | None = Field(None, description="The bucket of an S3-compatible store.")
    prefix: str = Field("uploads/", pattern=r"^([\w.-]+/)*$", description="The prefix of names in the bucket.")
    endpoint: str | None = Field(
        None, pattern=r"^(https?://.+)?$", description="The URL of the store; unset: Amazon's."
    )
    region: str = Field("us-east-1", min_length=1, description="The region of the bucket.")
    access_key: str | None = Field(
        None, description="The id of the bucket's key; unset: `AWS_` variables or the machine's role."
    )
    secret_key: SecretStr | None = Field(None, description="The secret of the bucket's key.")
    timeout: float = Field(10.0, gt=0, description="Seconds for one request to the store.")

    @model_validator(mode="after")
    def _a_whole_key(self) -> Self:
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("UPLOADS__ACCESS_KEY and UPLOADS__SECRET_KEY go together: set both, or neither")
        return self
