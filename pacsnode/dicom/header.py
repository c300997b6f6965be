"""The header scan: what the index needs to know of a data set."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Header:
    """What the index keeps of one instance; all UIDs are validated.

    `values` maps keywords of `attributes.ATTRIBUTES` (source STORED) to decoded text without padding; several
    values are joined by a backslash, absent and empty ones are left out. Dates and times are normalised (no dots,
    no colons). `character_sets` are the values of (0008,0005), empty for the default repertoire.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    values: Mapping[str, str]
    character_sets: tuple[str, ...]
