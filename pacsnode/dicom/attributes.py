"""The one table of the attributes that the index knows (PS3.4 C.6.1.1, C.6.2.1).

Level, key type, Value Representation and multiplicity stand here and nowhere else: the header scan, the index
columns, query parsing, matching and the encoding of answers are all derived from it. In the Study Root model the
patient's attributes belong to the STUDY level (PS3.4 C.6.2.1.2).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import MappingProxyType


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


_U, _R, _O = KeyType.UNIQUE, KeyType.REQUIRED, KeyType.OPTIONAL
_COMPUTED, _CONSTANT = Source.COMPUTED, Source.CONSTANT

_PATIENT = (
    (0x00100010, "PatientName", "PN", _R),
    (0x00100020, "PatientID", "LO", _U),
    (0x00100021, "IssuerOfPatientID", "LO", _O),
    (0x00100030, "PatientBirthDate", "DA", _O),
    (0x00100032, "PatientBirthTime", "TM", _O),
    (0x00100040, "PatientSex", "CS", _O),
    (0x00101000, "OtherPatientIDs", "LO", _O, True),
    (0x00101001, "OtherPatientNames", "PN", _O, True),
    (0x00102160, "EthnicGroup", "SH", _O),
    (0x00104000, "PatientComments", "LT", _O),
    (0x00201200, "NumberOfPatientRelatedStudies", "IS", _O, False, _COMPUTED),
    (0x00201202, "NumberOfPatientRelatedSeries", "IS", _O, False, _COMPUTED),
    (0x00201204, "NumberOfPatientRelatedInstances", "IS", _O, False, _COMPUTED),
)
_STUDY = (
    (0x00080020, "StudyDate", "DA", _R),
    (0x00080030, "StudyTime", "TM", _R),
    (0x00080050, "AccessionNumber", "SH", _R),
    (0x00080061, "ModalitiesInStudy", "CS", _O, True, _COMPUTED),
    (0x00080062, "SOPClassesInStudy", "UI", _O, True, _COMPUTED),
    (0x00080090, "ReferringPhysicianName", "PN", _O),
    (0x00081030, "StudyDescription", "LO", _O),
    (0x00081060, "NameOfPhysiciansReadingStudy", "PN", _O, True),
    (0x00081080, "AdmittingDiagnosesDescription", "LO", _O, True),
    (0x00101010, "PatientAge", "AS", _O),
    (0x00101020, "PatientSize", "DS", _O),
    (0x00101030, "PatientWeight", "DS", _O),
    (0x00102180, "Occupation", "SH", _O),
    (0x001021B0, "AdditionalPatientHistory", "LT", _O),
    (0x0020000D, "StudyInstanceUID", "UI", _U),
    (0x00200010, "StudyID", "SH", _R),
    (0x00201206, "NumberOfStudyRelatedSeries", "IS", _O, False, _COMPUTED),
    (0x00201208, "NumberOfStudyRelatedInstances", "IS", _O, False, _COMPUTED),
    (0x00321032, "RequestingPhysician", "PN", _O),
    (0x00321060, "RequestedProcedureDescription", "LO", _O),
)
_SERIES = (
    (0x00080021, "SeriesDate", "DA", _O),
    (0x00080031, "SeriesTime", "TM", _O),
    (0x00080060, "Modality", "CS", _R),
    (0x00080070, "Manufacturer", "LO", _O),
    (0x00080080, "InstitutionName", "LO", _O),
    (0x00081010, "StationName", "SH", _O),
    (0x0008103E, "SeriesDescription", "LO", _O),
    (0x00081040, "InstitutionalDepartmentName", "LO", _O),
    (0x00081050, "PerformingPhysicianName", "PN", _O, True),
    (0x00081070, "OperatorsName", "PN", _O, True),
    (0x00081090, "ManufacturerModelName", "LO", _O),
    (0x00180010, "ContrastBolusAgent", "LO", _O),
    (0x00180015, "BodyPartExamined", "CS", _O),
    (0x00181030, "ProtocolName", "LO", _O),
    (0x0020000E, "SeriesInstanceUID", "UI", _U),
    (0x00200011, "SeriesNumber", "IS", _R),
    (0x00200060, "Laterality", "CS", _O),
    (0x00201209, "NumberOfSeriesRelatedInstances", "IS", _O, False, _COMPUTED),
    (0x00400244, "PerformedProcedureStepStartDate", "DA", _O),
    (0x00400245, "PerformedProcedureStepStartTime", "TM", _O),
    (0x00400253, "PerformedProcedureStepID", "SH", _O),
    (0x00400254, "PerformedProcedureStepDescription", "LO", _O),
)
_IMAGE = (
    (0x00080016, "SOPClassUID", "UI", _O),
    (0x00080018, "SOPInstanceUID", "UI", _U),
    (0x00080023, "ContentDate", "DA", _O),
    (0x00080033, "ContentTime", "TM", _O),
    (0x00083002, "AvailableTransferSyntaxUID", "UI", _O, True, _COMPUTED),
    (0x00200012, "AcquisitionNumber", "IS", _O),
    (0x00200013, "InstanceNumber", "IS", _R),
    (0x00280008, "NumberOfFrames", "IS", _O),
    (0x00280010, "Rows", "US", _O),
    (0x00280011, "Columns", "US", _O),
    (0x00280100, "BitsAllocated", "US", _O),
)

ATTRIBUTES: tuple[Attribute, ...] = tuple(
    Attribute(row[0], row[1], row[2], level, row[3], *row[4:])
    for level, rows in (
        (Level.PATIENT, _PATIENT),
        (Level.STUDY, _STUDY),
        (Level.SERIES, _SERIES),
        (Level.IMAGE, _IMAGE),
    )
    for row in rows
)
STANDARD = Catalogue(ATTRIBUTES)
BY_TAG = STANDARD.by_tag
BY_KEYWORD = STANDARD.by_keyword
TIME_OF: Mapping[Attribute, Attribute] = {
    date: BY_KEYWORD[time]
    for date in ATTRIBUTES
    if date.vr == "DA" and (time := f"{date.keyword.removesuffix('Date')}Time") in BY_KEYWORD
}
UNIQUE_KEY = {a.level: a for a in ATTRIBUTES if a.key_type is KeyType.UNIQUE}

# Elements of an Identifier that steer the query or are the same in each answer; they are never matched.
SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
RETRIEVE_AE_TITLE = 0x00080054
INSTANCE_AVAILABILITY = 0x00080056
TIMEZONE_OFFSET_FROM_UTC = 0x00080201
