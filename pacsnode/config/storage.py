"""Where the images end up: a folder, memory, or a bucket of Google Cloud Storage."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator

from pacsnode.config.quantities import Duration
from pacsnode.config.values import Section, WholeNumber
from pacsnode.duplicates import DuplicatePolicy

_EXPECTED = 'expected "file:///absolute/folder", "gs://bucket/prefix" or "memory:"'
# "Bucket names": 3 to 63 of these in each part between dots, 222 in all.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}(?:\.[a-z0-9][a-z0-9_-]{0,62})*(?<=[a-z0-9])", re.ASCII)
_PREFIX_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_STORAGE_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
_KMS_KEY = re.compile(
    r"projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]+/cryptoKeys/[A-Za-z0-9_-]+", re.ASCII
)
_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]|[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a `gs:` URL names; the prefix has no slash at its ends."""

    name: str
    prefix: str


class GcsSection(Section):
    """A bucket of Google Cloud Storage: how objects are made in it and how it is asked."""

    storage_class: str = ""
    """Storage class of new objects: "STANDARD", "NEARLINE", "COLDLINE" or "ARCHIVE"; empty is the bucket's."""
    kms_key: str = ""
    """Key of Cloud KMS for new objects, "projects/.../cryptoKeys/..."; empty is the bucket's."""
    user_project: str = ""
    """Project that is billed for requests, for a bucket whose requester pays."""
    timeout: Annotated[Duration, Field(ge=1, le=3_600)] = 60.0
    """Time without a byte from the bucket after which a request has failed, "1s" to "1h"."""
    uploaders: Annotated[WholeNumber, Field(ge=1, le=16)] = 1
    """Processes that upload, 1 to 16; each can use one processor core."""
    threads: Annotated[WholeNumber, Field(ge=1, le=64)] = 8
    """Requests at the same time in each process, 1 to 64."""

    @field_validator("storage_class")
    @classmethod
    def _is_a_storage_class(cls, value: str) -> str:
        if value and value.upper() not in _STORAGE_CLASSES:
            raise ValueError(f"expected one of {', '.join(_STORAGE_CLASSES)}")
        return value.upper()

    @field_validator("kms_key")
    @classmethod
    def _is_a_kms_key(cls, value: str) -> str:
        if value and not _KMS_KEY.fullmatch(value):
            raise ValueError('expected "projects/P/locations/L/keyRings/R/cryptoKeys/K"')
        return value

    @field_validator("user_project")
    @classmethod
    def _is_a_project(cls, value: str) -> str:
        if value and not _PROJECT.fullmatch(value):
            raise ValueError('expected a project\'s ID, as "hospital-archive", or its number')
        return value


class StorageSection(Section):
    """Where the images end up."""

    url: str = ""
    """Where images are kept: "file:///folder", "gs://bucket/prefix" or "memory:"; else archive below data_dir."""
    duplicates: DuplicatePolicy = DuplicatePolicy.KEEP_BOTH
    """A known UID with other content: "keep-both", "replace", "keep-first" or "refuse"."""
    gcs: GcsSection = Field(default_factory=GcsSection)
    """How a bucket is used, a table."""

    @field_validator("url")
    @classmethod
    def _names_a_place(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme == "gs":
            return _checked_bucket(value)
        if value in ("", "memory:"):
            return value
        if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError(_EXPECTED)
        return value

    @property
    def is_memory(self) -> bool:
        """Whether everything is in the memory of one process."""
        return self.url == "memory:"

    @property
    def directory(self) -> Path | None:
        """The folder of a `file:` URL; None for others."""
        return Path(unquote(urlsplit(self.url).path)) if self.url.startswith("file:") else None

    @property
    def bucket(self) -> Bucket | None:
        """The bucket of a `gs:` URL; None for others."""
        if not self.url.startswith("gs:"):
            return None
        parts = urlsplit(self.url)
        return Bucket(parts.netloc, parts.path.strip("/"))


def _checked_bucket(value: str) -> str:
    """Return a `gs:` URL without a slash at its end."""
    parts = urlsplit(value)
    if not 3 <= len(parts.netloc) <= 222 or not _BUCKET.fullmatch(parts.netloc):
        raise ValueError(
            f"{parts.netloc!r} is no bucket's name: lower case letters, digits, hyphens, underscores and dots"
        )
    prefix = parts.path.strip("/")
    if (
        parts.query
        or parts.fragment
        or any(not _PREFIX_PART.fullmatch(part) for part in prefix.split("/") if prefix)
    ):
        raise ValueError(
            f"{parts.path!r} is no prefix: names of letters, digits, dots, hyphens and underscores, with slashes"
        )
    return f"gs://{parts.netloc}/{prefix}".rstrip("/")
