"""The index as plain Python: slow, without tables or caches, for comparison with the real one.

Entities are kept as they are learnt; everything that the index keeps as a count or a list is computed here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from pacsnode.dicom import temporal
from pacsnode.dicom.attributes import BY_KEYWORD, STANDARD, UNIQUE_KEY, Attribute, Catalogue, Level, Source
from pacsnode.dicom.charset import folded
from pacsnode.dicom.header import Header
from pacsnode.dicom.matching import is_visible, number, record_matches
from pacsnode.dicom.query import Query, SingleValue
from pacsnode.dicom.zones import ZONES, zone_keyword
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index.base import Adding, Arrival, Row
from tests.factories_query import SENDERS, records

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_ZONE = ZONES[Level.STUDY].keyword
_IDENTITY = ("PatientID", "IssuerOfPatientID")
_COUNTS = {
    "NumberOfPatientRelatedStudies": Level.STUDY,
    "NumberOfPatientRelatedSeries": Level.SERIES,
    "NumberOfPatientRelatedInstances": Level.IMAGE,
    "NumberOfStudyRelatedSeries": Level.SERIES,
    "NumberOfStudyRelatedInstances": Level.IMAGE,
    "NumberOfSeriesRelatedInstances": Level.IMAGE,
}


@dataclass(eq=False)
class Entity:
    """A patient, study, series or instance."""

    level: Level
    parent: "Entity | None"
    values: dict[str, str]
    character_sets: str
    is_served: bool = False
    is_new: bool = True
    arrival: Arrival | None = None
    version: int = 0
    children: list["Entity"] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.parent is not None:
            self.parent.children.append(self)

    def below(self, level: Level) -> list["Entity"]:
        """Return the served entities of a level below (or this one)."""
        if self.level is level:
            return [self] if self.is_visible() else []
        return [entity for child in self.children for entity in child.below(level)]

    def is_visible(self) -> bool:
        """Return whether an instance is served here."""
        return self.is_served if self.level is Level.IMAGE else any(c.is_visible() for c in self.children)

    def above(self) -> Iterator["Entity"]:
        """Yield this entity and those above it."""
        yield self
        if self.parent is not None:
            yield from self.parent.above()

    def record(self) -> dict[str, str]:
        """Return all that can be asked at this level."""
        record: dict[str, str] = {}
        for entity in self.above():
            record |= {one: value for one, value in entity.values.items() if one != _ZONE}
            if entity.level in ZONES:
                record[zone_keyword(entity.level)] = entity.values.get(_ZONE, "")
            for keyword, level in _COUNTS.items():
                if BY_KEYWORD[keyword].level is entity.level:
                    record[keyword] = str(len(entity.below(level)))
            if entity.level is Level.STUDY:
                modalities = {
                    one
                    for series in entity.below(Level.SERIES)
                    for one in series.values.get("Modality", "").split("\\")
                    if one
                }
                record["ModalitiesInStudy"] = "\\".join(sorted(modalities))
                classes = {image.values["SOPClassUID"] for image in entity.below(Level.IMAGE)}
                record["SOPClassesInStudy"] = "\\".join(sorted(classes))
            if entity.arrival is not None:
                record["AvailableTransferSyntaxUID"] = entity.arrival.transfer_syntax_uid
        return {keyword: value for keyword, value in record.items() if value}


class Model:
    """What `SqliteIndex` should do."""

    def __init__(self, catalogue: Catalogue = STANDARD) -> None:
        self.catalogue = catalogue
        self.rows: dict[Level, list[Entity]] = {level: [] for level in Level}
        self.waiting: dict[int, Entity] = {}

    def instance_id(self, entity: Entity) -> int:
        """Return the id that the index gives to an instance."""
        return self.rows[Level.IMAGE].index(entity) + 1

    def versions(self, sop_instance_uid: str) -> list[Entity]:
        """Return the kept versions of a SOP Instance UID."""
        return [one for one in self.rows[Level.IMAGE] if one.values["SOPInstanceUID"] == sop_instance_uid]

    def add(
        self, arrival: Arrival, policy: DuplicatePolicy, known_different: frozenset[int] = frozenset()
    ) -> Adding:
        """Do what `Index.add` says."""
        versions = self.versions(arrival.header.sop_instance_uid)
        if any(self.waiting.get(arrival.token) is one for one in versions):
            return Adding.ALREADY
        if any(self.instance_id(one) not in known_different for one in versions):
            return Adding.COMPARE
        if versions and policy in (DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.REFUSE):
            return Adding.REFUSED
        is_served = not versions or policy is DuplicatePolicy.REPLACE
        for one in versions if is_served else []:
            one.is_served = False
        self._insert(arrival, len(versions), is_served=is_served)
        if not versions:
            return Adding.NEW
        return Adding.VERSION_SERVED if is_served else Adding.VERSION_KEPT

    def _insert(self, arrival: Arrival, version: int, *, is_served: bool) -> None:
        header = arrival.header
        study = self._find(Level.STUDY, "StudyInstanceUID", header.study_instance_uid, None)
        if study is None:
            study = self._make(Level.STUDY, self._patient(arrival), arrival)
        series = self._find(Level.SERIES, "SeriesInstanceUID", header.series_instance_uid, study)
        if series is None:
            series = self._make(Level.SERIES, study, arrival)
        if is_served:
            for entity in (study, series):
                self._learn(entity, arrival)
            assert study.parent is not None
            self._learn(study.parent, arrival)
        for entity in series.above():
            entity.is_new = False
        image = self._make(Level.IMAGE, series, arrival)
        image.arrival, image.version, image.is_served = arrival, version, is_served
        self.waiting[arrival.token] = image

    def _find(self, level: Level, keyword: str, uid: str, parent: Entity | None) -> Entity | None:
        for one in self.rows[level]:
            if one.values[keyword] == uid and (parent is None or one.parent is parent):
                return one
        return None

    def _make(self, level: Level, parent: Entity | None, arrival: Arrival) -> Entity:
        made = Entity(
            level, parent, _own(self.catalogue, level, arrival), "\\".join(arrival.header.character_sets)
        )
        self.rows[level].append(made)
        return made

    def _patient(self, arrival: Arrival) -> Entity:
        values = arrival.header.values
        if values.get("PatientID"):
            same = [
                one
                for one in self.rows[Level.PATIENT]
                if all(one.values.get(keyword) == values.get(keyword) for keyword in _IDENTITY)
            ]
            fitting = [one for one in same if one.is_visible() and not differ(one.values, values)]
            fitting += [one for one in same if not one.is_visible()]
            if fitting:
                return fitting[0]
        return self._make(Level.PATIENT, None, arrival)

    def _learn(self, entity: Entity, arrival: Arrival) -> None:
        values = _own(self.catalogue, entity.level, arrival)
        if entity.is_new:
            return
        if not entity.is_visible():
            entity.values, entity.character_sets = values, "\\".join(arrival.header.character_sets)
            if entity.level is Level.STUDY:
                self._give_patient(entity, arrival)
        elif entity.level is not Level.PATIENT:
            entity.values = values | entity.values
        elif all(
            entity.values.get(one, values.get(one)) == values.get(one, entity.values.get(one))
            for one in _IDENTITY
        ) and not differ(entity.values, values):
            learnt = {one: value for one, value in values.items() if one not in _IDENTITY}
            entity.values = learnt | entity.values

    def _give_patient(self, study: Entity, arrival: Arrival) -> None:
        assert study.parent is not None
        is_own = "PatientID" not in study.parent.values and not study.parent.is_visible()
        if is_own and not arrival.header.values.get("PatientID"):
            return
        study.parent.children.remove(study)
        study.parent = self._patient(arrival)
        study.parent.children.append(study)

    def answers(self, query: Query) -> list[Entity]:
        """Return the entities that match by the oracle, in the order of `Index.find`."""
        visible = [one for one in self.rows[query.level] if seen(query, one)]
        matching = [one for one in visible if record_matches(query, one.record())]
        newest_first = matching[::-1]
        if query.level is Level.STUDY:
            return sorted(newest_first, key=_moment, reverse=True)
        numbered = _NUMBER.get(query.level)
        parent = UNIQUE_KEY.get(Level(max(query.level - 1, 0)))
        if numbered and any(
            key.attribute == parent and isinstance(key.matching, SingleValue) for key in query.keys
        ):
            return sorted(matching, key=lambda one: _numbered(one.values.get(numbered)))
        return newest_first

    def found(self, query: Query) -> list[Row]:
        """Return the rows that `find` should give."""
        rows: list[Row] = []
        for entity in self.answers(query):
            record = entity.record()
            values = tuple(record.get(attribute.keyword) for attribute in query.returned)
            rows.append((*values, entity.character_sets or None))
        return rows

    def located(self, query: Query) -> set[int]:
        """Return the ids of the instances that `locate` should give."""
        return {self.instance_id(image) for entity in self.answers(query) for image in seen(query, entity)}


_NUMBER = {Level.SERIES: "SeriesNumber", Level.IMAGE: "InstanceNumber"}


def _moment(study: Entity) -> tuple[str, str]:
    """Return what studies are ordered by; sorted() keeps the order of arrival of those that are the same."""
    date = study.values.get("StudyDate", "")
    is_date = len(date) == 8 and date.isascii() and date.isdigit()
    return (date + study.values.get("StudyTime", ""), "") if is_date else ("", "")


def _numbered(text: str | None) -> tuple[int, float, bytes]:
    """Return what series and instances are ordered by: numbers, then other text, then nothing."""
    if text is None:
        return 2, 0, b""
    value = number(text)
    return (1, 0, text.encode()) if value is None else (0, value, b"")


def seen(query: Query, entity: Entity) -> list[Entity]:
    """Return the served instances below an entity that the requester sees."""
    return [
        image
        for image in entity.below(Level.IMAGE)
        if image.arrival is not None
        and is_visible(query.visibility, image.record(), image.arrival.calling_ae_title)
    ]


def _own(catalogue: Catalogue, level: Level, arrival: Arrival) -> dict[str, str]:
    header = arrival.header
    uids = dict(
        zip(
            _UIDS,
            (
                header.study_instance_uid,
                header.series_instance_uid,
                header.sop_instance_uid,
                header.sop_class_uid,
            ),
            strict=True,
        )
    )
    values = {**header.values, **uids}
    stored = [one for one in catalogue.attributes if one.level is level and one.source is Source.STORED]
    zone = [ZONES[level]] if level in ZONES else []
    return {one.keyword: values[one.keyword] for one in (*stored, *zone) if values.get(one.keyword)}


def differ(ours: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    """Return whether name, birth date or sex say that these are two persons."""
    facts = []
    for values in (ours, theirs):
        family, _, rest = folded(values.get("PatientName", "")).partition("=")[0].partition("^")
        person = (family, rest.partition("^")[0], values.get("PatientBirthDate"), values.get("PatientSex"))
        facts.append(person)
    return any(one and other and one != other for one, other in zip(*facts, strict=True))


def normalised(record: Mapping[str, str], extra: Iterable[Attribute] = ()) -> dict[str, str]:
    """Return a record with dates and times as `Header.values` has them."""
    values = dict(record)
    known = {**BY_KEYWORD, **{attribute.keyword: attribute for attribute in extra}}
    for keyword, value in record.items():
        vr = known[keyword].vr if keyword in known else ""
        normal = temporal.date(value) if vr == "DA" else temporal.time(value) if vr == "TM" else None
        values[keyword] = normal or value
    return values


@st.composite
def arrivals(draw: st.DrawFn, token: int) -> Arrival:
    """Return an instance that arrives with this token."""
    values = normalised(draw(records()))
    uids = [values.pop(keyword) for keyword in ("SOPClassUID", "SOPInstanceUID")]
    study, series = values.pop("StudyInstanceUID"), values.pop("SeriesInstanceUID")
    if draw(st.integers(0, 9)) == 0:
        study = draw(
            st.sampled_from(("1.2.826.7.1", "1.2.826.7.2"))
        )  # the series turns up under another study
    return Arrival(
        header=Header(
            *uids, study, series, values, draw(st.sampled_from(((), ("ISO_IR 100",), ("", "ISO 2022 IR 87"))))
        ),
        transfer_syntax_uid=draw(st.sampled_from(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"))),
        token=token,
        file_length=1000 + token,
        file_crc32c=(token * 0x9E3779B1) & 0xFFFFFFFF,
        data_set_length=600 + token,
        data_set_crc32c=(token * 0x85EBCA6B) & 0xFFFFFFFF,
        calling_ae_title=draw(st.sampled_from(SENDERS)),
        received_at_ms=1_790_000_000_000 + token,
    )
