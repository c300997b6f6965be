"""What an attribute of the index is, and a catalogue of them (PS3.4 C.6.1.1, C.6.2.1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import MappingProxyType

# Kinds of Value Representations (PS3.5 6.1.2.3, 6.2).
CHARACTER_SET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # what (0008,0005) governs
INDENTED_VRS = frozenset({"LT", "ST", "UT"})  # spaces at the beginning are significant
SINGLE_VRS = frozenset({"LT", "ST", "UR", "UT"})  # never multi-valued: a backslash is text


class Level(IntEnum):
    """Query/Retrieve Level (0008,0052), from the top down."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


class KeyType(Enum):
    """Key type of PS3.4 C.2.2.1."""

    UNIQUE = "U"
    REQUIRED = "R"
    OPTIONAL = "O"


class Source(Enum):
    """Where the value in an answer comes from."""

    STORED = "stored"  # read from the header, kept in a column
    COMPUTED = "computed"  # kept by the index: counts, lists over an entity's children
    CONSTANT = "constant"  # the same for all answers of this node or association


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute that can be asked for. `column` is its name in the index.

    A sequence (VR SQ) has the attributes of its items, on the sequence's level; such an item may hold
    sequences of its own, whose items hold none. A private attribute has its `creator` and the tag
    `0xGGGG00EE`: the block is another in each data set (PS3.5 7.8.1). `is_extra` marks what the
    configuration adds.
    """

    tag: int
    keyword: str
    vr: str
    level: Level
    key_type: KeyType
    multi_valued: bool = False
    source: Source = Source.STORED
    items: tuple["Attribute", ...] = ()
    creator: str = ""
    is_extra: bool = False

    @property
    def column(self) -> str:
        """The keyword in snake case: `StudyInstanceUID` is `study_instance_uid`."""
        name = ""
        for at, char in enumerate(self.keyword):
            before = self.keyword[at - 1] if at else ""
            after = self.keyword[at + 1] if at + 1 < len(self.keyword) else ""
            if (
                char.isupper()
                and at
                and (before.islower() or (before.isupper() and after.islower() and after != "s"))
            ):
                name += "_"
            name += char.lower()
        return name


def sequences_in(attributes: Iterable[Attribute]) -> frozenset[int]:
    """Return the tags of the sequences among attributes."""
    return frozenset(one.tag for one in attributes if one.vr == "SQ")


def is_creator(tag: int) -> bool:
    """Return whether an element reserves a block of private elements (PS3.5 7.8.1)."""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


def creator_of(raw: bytes) -> str:
    """Return the private creator that an element names (PS3.5 7.8.1)."""
    return raw.strip(b" \0").decode("ascii", "replace")


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """All attributes that a node knows: `STANDARD`, and what its configuration adds. Immutable.

    `by_tag` has no private attributes, which are found by `private`, and no attributes of items.
    """

    attributes: tuple[Attribute, ...]
    by_tag: Mapping[int, Attribute] = field(init=False, repr=False)
    by_keyword: Mapping[str, Attribute] = field(init=False, repr=False)
    _private: Mapping[tuple[int, str], Attribute] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        public = {a.tag: a for a in self.attributes if not a.creator}
        private = {(a.tag, a.creator): a for a in self.attributes if a.creator}
        object.__setattr__(self, "by_tag", MappingProxyType(public))
        object.__setattr__(self, "by_keyword", MappingProxyType({a.keyword: a for a in self.attributes}))
        object.__setattr__(self, "_private", MappingProxyType(private))

    @property
    def extra(self) -> tuple[Attribute, ...]:
        """The attributes that the configuration adds."""
        return tuple(a for a in self.attributes if a.is_extra)

    def private(self, tag: int, creator: str) -> Attribute | None:
        """Return the private attribute of a creator; the block of the tag does not matter."""
        return self._private.get((tag & 0xFFFF00FF, creator))

    def with_extra(self, extra: tuple[Attribute, ...]) -> "Catalogue":
        """Return a catalogue with further attributes."""
        return Catalogue((*self.attributes, *extra)) if extra else self
