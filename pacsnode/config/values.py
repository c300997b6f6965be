"""What single values in the configuration may be, and how a mistake in them is told."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pacsnode.access.peer import comparable_ae_title, is_ae_title


class Section(BaseModel):
    """A table of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def _ae_title(value: object) -> str:
    if not isinstance(value, str) or not is_ae_title(comparable_ae_title(value)):
        raise ValueError("expected an AE title: 1 to 16 printable ASCII characters, no backslash")
    return comparable_ae_title(value)


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a whole number")
    return value


def listed(value: object) -> object:
    """Split what stands in an environment variable, where a list is written with commas."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def separated(value: object) -> object:
    """Split at backslashes, as DICOM writes several values."""
    return [item.strip() for item in value.split("\\")] if isinstance(value, str) else value


class PlacedError(ValueError):
    """A mistake that shows only beside other keys. `location` is the key that it is to be told at."""

    def __init__(self, message: str, *location: str | int) -> None:
        super().__init__(message)
        self.location = location


AETitle = Annotated[str, BeforeValidator(_ae_title)]
Text = Annotated[str, Field(min_length=1, max_length=64)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(listed)]
AETitles = Annotated[tuple[AETitle, ...], BeforeValidator(listed)]
WholeNumber = Annotated[int, BeforeValidator(_no_boolean)]
Port = Annotated[WholeNumber, Field(ge=0, le=65535)]
