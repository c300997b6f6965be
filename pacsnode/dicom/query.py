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
    """Single Value Matching (PS3.4 C.2.2.2.1); for PN case-insensitive, for numbers numeric."""

    value: str


@dataclass(frozen=True, slots=True)
class ValueList:
    """List of UID Matching (PS3.4 C.2.2.2.2), and several plain values of any other key.

    Any of them may match, as a `SingleValue` each. At least two, all different.
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
    (`10`, `1030`, `103000.25`): the low end means its first instant, the high end its last. For DT they are
    `YYYYMMDDHHMMSS.ffffff` in UTC.
    """

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class Moments:
    """Range Matching of a date together with its time (PS3.4 C.2.2.2.5.4), both ends inclusive.

    The attribute of the key is the date; `attributes.TIME_OF` names the time that belongs to it. The ends are
    `YYYYMMDDHHMMSS.ffffff`, the first and the last moment that were meant; at least one is given.
    """

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class Words:
    """Fuzzy semantic matching of person names (PS3.4 C.2.2.2.1.1): words of a name in any order (`names`).

    Each begins some word of the name, in any component of any component group. They are as `names.asked_words`
    makes them, at least one; one may hold `*` or `?`.
    """

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Empty:
    """Empty Value Matching (PS3.4 C.2.2.2.7): absent or without a value. It stands as two QUOTATION MARKs."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Several values of which any may match, where not all are plain text (those are a `ValueList`).

    What several values mean is not defined where Multiple Value Matching is not negotiated (PS3.4 C.2.2.2.8,
    note 4), nor for attributes of one value.
    """

    matchings: tuple["Matching", ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Multiple Value Matching as negotiated (PS3.4 C.2.2.2.8): each matches some value of the attribute.

    Only for multi-valued attributes; at least two, all different. The attribute may have further values.
    """

    matchings: tuple["Matching", ...]


@dataclass(frozen=True, slots=True)
class Items:
    """Sequence Matching (PS3.4 C.2.2.2.6): some one item matches all of the keys, of which there is one at least.

    The attributes of the keys are among the `items` of the sequence's attribute.
    """

    keys: tuple["Key", ...]


Matching = SingleValue | ValueList | Wildcard | Range | Moments | Words | Empty | AnyOf | AllOf | Items


@dataclass(frozen=True, slots=True)
class Options:
    """What SOP Class Extended Negotiation turned on for a C-FIND, C-MOVE or C-GET (PS3.4 C.5.1.1, C.5.2.1, C.5.3.1).

    `relational` is what a requester may rely on; queries without the unique keys above their level are
    answered without it, too.
    """

    relational: bool = False
    combined_date_time: bool = False
    fuzzy_names: bool = False
    timezone_adjustment: bool = False
    empty_value: bool = False
    multiple_value: bool = False


BASELINE = Options()  # nothing was negotiated


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute with a condition. One that matches universally has no `Key`, it is only `returned`.

    Without `match_case` text is compared without regard to case; only `keys.CASE_VRS` can be without it.
    """

    attribute: Attribute
    matching: Matching
    match_case: bool = True


@dataclass(frozen=True, slots=True)
class Query:
    """A valid question. All of `keys` must match; `returned` are the attributes to answer, in tag order.

    `returned` has no attribute with `Source.CONSTANT`; those, and the level, are added where answers are encoded. A
    sequence in it has only those `items` that were asked for. `unsupported` are the tags of the Identifier that the
    index does not know, `unsupported_items` those of known sequences in whose item it does not know a key, and
    `unmatched` those that are answered, but not matched though they have a value. `visibility` is what the requester
    may see, None for everything: an Identifier never says that, the one who answers it does. `timezone` is the
    requester's offset from UTC in minutes, positive to the east; None where times are compared as they are (PS3.4
    C.2.2.2, `zones`).
    """

    model: InformationModel
    level: Level
    keys: tuple[Key, ...]
    returned: tuple[Attribute, ...]
    unsupported: tuple[int, ...] = ()
    unsupported_items: tuple[int, ...] = ()
    unmatched: tuple[int, ...] = ()
    character_sets: tuple[str, ...] = ()
    asks_retrieve_ae_title: bool = False
    asks_instance_availability: bool = False
    is_relational: bool = False  # a unique key above the level is missing (PS3.4 C.4.1.2.2.1)
    visibility: Visibility | None = None
    options: Options = BASELINE
    timezone: int | None = None
