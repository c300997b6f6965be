"""What a C-FIND, C-MOVE or C-GET asks for, understood: the question that matching and the index answer."""

from dataclasses import dataclass
from enum import Enum

from pacsnode.dicom.attributes import Attribute, Level
from pacsnode.dicom.visibility import Visibility


class InformationModel(Enum):
    """Query/Retrieve Information Model (PS3.4 C.6)."""

    PATIENT_ROOT = "Patient Root"
    STUDY_ROOT = "Study Root"

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the model, from the top down (PS3.4 C.6.1.1, C.6.2.1)."""
        return tuple(Level) if self is InformationModel.PATIENT_ROOT else tuple(Level)[1:]


@dataclass(frozen=True, slots=True)
class SingleValue:
    """Single Value Matching (PS3.4 C.2.2.2.1); for PN case-insensitive, for IS, DS and US numeric."""

    value: str


@dataclass(frozen=True, slots=True)
class ValueList:
    """List of UID Matching (PS3.4 C.2.2.2.2), and several values of a short text key.

    Any of them may match. At least two, all different, none with a wildcard.
    """

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Wild Card Matching (PS3.4 C.2.2.2.4): `*` any run of characters, `?` any one; all else is literal."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Range:
    """Range Matching (PS3.4 C.2.2.2.5), both ends inclusive, at least one given.

    For DA the ends are `YYYYMMDD`. For TM they are digits as sent without colons, of any precision
    (`10`, `1030`, `103000.25`): the low end means its first instant, the high end its last.
    """

    low: str | None
    high: str | None


Matching = SingleValue | ValueList | Wildcard | Range


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute with a condition. One that matches universally has no `Key`, it is only `returned`."""

    attribute: Attribute
    matching: Matching


@dataclass(frozen=True, slots=True)
class Query:
    """A valid question. All of `keys` must match; `returned` are the attributes to answer, in tag order.

    `returned` has no attribute with `Source.CONSTANT`; those, and the level, are added where answers are
    encoded. `unsupported` are the tags of the Identifier that the index does not know. `visibility` is what the
    requester may see, None for everything: an Identifier never says that, the one who answers it does.
    """

    model: InformationModel
    level: Level
    keys: tuple[Key, ...]
    returned: tuple[Attribute, ...]
    unsupported: tuple[int, ...] = ()
    character_sets: tuple[str, ...] = ()
    asks_retrieve_ae_title: bool = False
    asks_instance_availability: bool = False
    is_relational: bool = False  # a unique key above the level is missing (PS3.4 C.4.1.2.2.1)
    visibility: Visibility | None = None
