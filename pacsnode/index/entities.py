"""Patients, studies and series: who belongs to whom, what is known of them, what is served of them.

Of each attribute the first value that is not empty stays; later instances fill what is empty. Only what is
served gives values: an entity whose last served instance went is vacant, and the next one that comes begins
it anew.

- A study belongs to the patient of its first instance. An instance that names somebody else fills nothing of
  that patient, and Patient ID and issuer, which are the identity, are never filled.
- A patient is found by Patient ID and issuer. If the name, birth date or sex says that it is somebody else
  (`identity.Person`), there is a second patient of the same ID: a conflict. Without a Patient ID each study
  has a patient of its own.

What was read stays in memory until `forget`: the tables are changed by the writer only, and it says when
another process or a rollback makes that untrue. Everything here runs inside the writer's transaction.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pacsnode.dicom.attributes import Catalogue, Level
from pacsnode.dicom.header import Header
from pacsnode.dicom.matching import without_case
from pacsnode.dicom.uid import packed
from pacsnode.index import lookups, schema
from pacsnode.index.base import Arrival
from pacsnode.index.columns import COLUMNS, Value, columns_of
from pacsnode.index.dictionaries import Dictionaries
from pacsnode.index.identity import Person

_MAX_KNOWN = 1024
_IDENTITY = ("PatientID", "IssuerOfPatientID")
_PERSON = ("PatientName", "PatientBirthDate", "PatientSex")
_TIMEZONE = "TimezoneOffsetFromUTC"


@dataclass(slots=True)
class Entity:
    """One row: the attributes it has no value for, and how many instances are served below it.

    `source` is the token of the arrival that began it, which has nothing more to tell.
    """

    id: int
    empty: set[str]
    served: int
    source: int | None


@dataclass(slots=True)
class Patient(Entity):
    """A patient and what tells it from others."""

    identifying: dict[str, str]

    def may_be(self, values: Mapping[str, str]) -> bool:
        """Return whether an instance can speak of this patient."""
        ours = self.identifying
        other = any(ours.get(one) and values.get(one) and ours[one] != values[one] for one in _IDENTITY)
        return not other and not _person(ours).differs(_person(values))


@dataclass(slots=True)
class Study(Entity):
    """A study and the lists that are kept over its children."""

    patient: Patient
    modalities: set[str]
    sop_classes: set[str]


@dataclass(slots=True)
class Series(Entity):
    """A series of a study."""

    study: Study
    modality: str
    timezone: str


def _person(values: Mapping[str, str]) -> Person:
    return Person.of(*(values.get(keyword) for keyword in _PERSON))


def _identifying(values: Mapping[str, str]) -> dict[str, str]:
    return {keyword: values[keyword] for keyword in (*_IDENTITY, *_PERSON) if values.get(keyword)}


def _insertion(level: Level, more: str) -> str:
    table, marks = schema.TABLES[level].name, ", ".join("?" * len(more.split(", ")))
    columns = COLUMNS[level]
    return f"INSERT INTO {table} ({more}, {columns.names}) VALUES ({marks}, {columns.marks})"


def _selection(level: Level, more: str, where: str) -> str:
    """Return the statement for id, served instances, `more`, `extra`, then the attributes in the table's order."""
    table = schema.TABLES[level]
    attributes = ", ".join(f'"{attribute.column}"' for attribute in table.stored)
    served = schema.counting(level, Level.IMAGE)
    return f"SELECT id, {served}, {more}, extra, {attributes} FROM {table.name} WHERE {where}"


_INSERT_PATIENT = _insertion(Level.PATIENT, "character_set")
_INSERT_STUDY = _insertion(Level.STUDY, "patient, study_instance_uid, last_received_at_ms, character_set")
_INSERT_SERIES = _insertion(Level.SERIES, "study, series_instance_uid, character_set")
_PATIENT = _selection(Level.PATIENT, "NULL", "id = ?")
_STUDY = _selection(
    Level.STUDY, "patient, modalities_in_study, sop_classes_in_study", "study_instance_uid = ?"
)
_SERIES = _selection(Level.SERIES, "modality", "series_instance_uid = ? AND study = ?")
_SAME_ID = f"""SELECT id, {schema.counting(Level.PATIENT, Level.IMAGE)},
    patient_name, patient_birth_date, patient_sex FROM patient
    INDEXED BY patient_by_patient_id
    WHERE patient_id_caseless = ?3 AND patient_id = ?1 AND issuer_of_patient_id IS ?2 ORDER BY id"""

_COUNT_SERIES = """UPDATE series
    SET number_of_series_related_instances = number_of_series_related_instances + ? WHERE id = ?"""
_COUNT_STUDY = """UPDATE study SET number_of_study_related_series = number_of_study_related_series + ?,
    number_of_study_related_instances = number_of_study_related_instances + ?,
    last_received_at_ms = max(last_received_at_ms, ?) WHERE id = ?"""
_COUNT_PATIENT = """UPDATE patient SET
    number_of_patient_related_studies = number_of_patient_related_studies + ?,
    number_of_patient_related_series = number_of_patient_related_series + ?,
    number_of_patient_related_instances = number_of_patient_related_instances + ? WHERE id = ?"""
_ABOVE = """SELECT series.id, number_of_series_related_instances, study.id, number_of_study_related_instances,
    study.patient FROM instance CROSS JOIN series ON series.id = instance.series
    CROSS JOIN study ON study.id = series.study WHERE instance.id = ?"""
_MODALITIES = """SELECT DISTINCT modality FROM series
    WHERE study = ? AND modality IS NOT NULL AND number_of_series_related_instances > 0"""
_SOP_CLASSES = """SELECT DISTINCT sop_class.uid FROM series CROSS JOIN instance ON instance.series = series.id
    CROSS JOIN sop_class ON sop_class.id = instance.sop_class WHERE series.study = ? AND instance.is_served"""


class Entities:
    """The writer's view of patients, studies and series."""

    def __init__(self, dictionaries: Dictionaries, catalogue: Catalogue) -> None:
        self._dictionaries = dictionaries
        self._columns = columns_of(catalogue)
        self._patients: dict[int, Patient] = {}
        self._studies: dict[str, Study] = {}
        self._series: dict[tuple[str, str], Series] = {}

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._patients.clear()
        self._studies.clear()
        self._series.clear()

    def series_of(self, connection: sqlite3.Connection, arrival: Arrival) -> Series:
        """Return the series of an arrival, making it and what is above it if need be."""
        header = arrival.header
        key = (header.study_instance_uid, header.series_instance_uid)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= _MAX_KNOWN:
                self.forget()
            study = self._study_of(connection, arrival)
            series = self._read_series(connection, study, header) or self._make_series(
                connection, study, arrival
            )
            self._series[key] = series
        return series

    def serve(self, connection: sqlite3.Connection, series: Series, arrival: Arrival) -> None:
        """Let an arrival that is going to be served tell what is not known yet, and count it."""
        study = series.study
        self._learn_study(connection, study, arrival)
        self._learn_series(connection, series, arrival)
        patient = study.patient
        self._learn_patient(connection, patient, arrival)
        new_series, new_study = not series.served, not study.served
        connection.execute(_COUNT_SERIES, (1, series.id))
        connection.execute(_COUNT_STUDY, (new_series, 1, arrival.received_at_ms, study.id))
        connection.execute(_COUNT_PATIENT, (new_study, new_series, 1, patient.id))
        for entity in (series, study, patient):
            entity.served += 1
        self._list(connection, study, series.modality, arrival.header.sop_class_uid)

    def hide(self, connection: sqlite3.Connection, instance_id: int) -> None:
        """Stop serving an instance: it counts no more."""
        series, in_series, study, in_study, patient = connection.execute(_ABOVE, (instance_id,)).fetchone()
        series_less, study_less = -int(in_series == 1), -int(in_study == 1)
        connection.execute("UPDATE instance SET is_served = 0 WHERE id = ?", (instance_id,))
        connection.execute(_COUNT_SERIES, (-1, series))
        connection.execute(_COUNT_STUDY, (series_less, -1, 0, study))
        connection.execute(_COUNT_PATIENT, (study_less, series_less, -1, patient))
        modalities = {one for (text,) in connection.execute(_MODALITIES, (study,)) for one in _split(text)}
        classes = {uid for (uid,) in connection.execute(_SOP_CLASSES, (study,))}
        self._set_lists(connection, study, modalities, classes)
        self.forget()

    def _study_of(self, connection: sqlite3.Connection, arrival: Arrival) -> Study:
        uid = arrival.header.study_instance_uid
        study = self._studies.get(uid)
        if study is None:
            study = self._read_study(connection, uid) or self._make_study(connection, arrival)
            self._studies[uid] = study
        return study

    def _patient_of(self, connection: sqlite3.Connection, arrival: Arrival) -> Patient:
        """Return the patient that an arrival is about; of several that fit the oldest one that is served."""
        values = arrival.header.values
        identity = values.get("PatientID"), values.get("IssuerOfPatientID") or None
        person, vacant = _person(values), None
        if identity[0]:
            for row_id, served, *known in connection.execute(
                _SAME_ID, (*identity, without_case(identity[0]))
            ).fetchall():
                if served and not Person.of(*known).differs(person):
                    return self._patient(connection, row_id)
                vacant = row_id if vacant is None and not served else vacant
        return (
            self._make_patient(connection, arrival) if vacant is None else self._patient(connection, vacant)
        )

    def _patient(self, connection: sqlite3.Connection, patient_id: int) -> Patient:
        patient = self._patients.get(patient_id)
        if patient is None:
            row_id, served, _, extra, *columns = connection.execute(_PATIENT, (patient_id,)).fetchone()
            values = self._columns[Level.PATIENT].read(extra, columns)
            patient = Patient(row_id, self._empty(Level.PATIENT, values), served, None, _identifying(values))
            self._patients[patient_id] = patient
        return patient

    def _read_study(self, connection: sqlite3.Connection, uid: str) -> Study | None:
        row = connection.execute(_STUDY, (packed(uid),)).fetchone()
        if row is None:
            return None
        row_id, served, patient_id, modalities, classes, extra, *values = row
        empty = self._empty(Level.STUDY, self._columns[Level.STUDY].read(extra, values))
        patient = self._patient(connection, patient_id)
        return Study(row_id, empty, served, None, patient, _split(modalities), _split(classes))

    def _read_series(self, connection: sqlite3.Connection, study: Study, header: Header) -> Series | None:
        row = connection.execute(_SERIES, (packed(header.series_instance_uid), study.id)).fetchone()
        if row is None:
            return None
        row_id, served, modality, extra, *columns = row
        values = self._columns[Level.SERIES].read(extra, columns)
        timezone = values.get(_TIMEZONE, "")
        return Series(
            row_id, self._empty(Level.SERIES, values), served, None, study, modality or "", timezone
        )

    def _make_patient(self, connection: sqlite3.Connection, arrival: Arrival) -> Patient:
        values = arrival.header.values
        row = [self._character_set(connection, arrival), *self._columns[Level.PATIENT].row(values)]
        row_id = _inserted(connection, _INSERT_PATIENT, row)
        patient = Patient(row_id, self._empty(Level.PATIENT, values), 0, arrival.token, _identifying(values))
        self._patients[row_id] = patient
        _keep_name(connection, row_id, values)
        return patient

    def _make_study(self, connection: sqlite3.Connection, arrival: Arrival) -> Study:
        header = arrival.header
        patient = self._patient_of(connection, arrival)
        character_set = self._character_set(connection, arrival)
        own: list[Value] = [
            patient.id,
            packed(header.study_instance_uid),
            arrival.received_at_ms,
            character_set,
        ]
        row_id = _inserted(connection, _INSERT_STUDY, own + self._columns[Level.STUDY].row(header.values))
        return Study(row_id, self._empty(Level.STUDY, header.values), 0, arrival.token, patient, set(), set())

    def _make_series(self, connection: sqlite3.Connection, study: Study, arrival: Arrival) -> Series:
        header = arrival.header
        own: list[Value] = [
            study.id,
            packed(header.series_instance_uid),
            self._character_set(connection, arrival),
        ]
        row_id = _inserted(connection, _INSERT_SERIES, own + self._columns[Level.SERIES].row(header.values))
        empty, get = self._empty(Level.SERIES, header.values), header.values.get
        return Series(row_id, empty, 0, arrival.token, study, get("Modality", ""), get(_TIMEZONE, ""))

    def _learn_patient(self, connection: sqlite3.Connection, patient: Patient, arrival: Arrival) -> None:
        values = arrival.header.values
        if self._is_begun_anew(connection, Level.PATIENT, patient, arrival):
            patient.identifying = _identifying(values)
            _keep_name(connection, patient.id, values)
        elif not patient.empty.isdisjoint(values) and patient.may_be(values):
            learnt = self._filled(connection, Level.PATIENT, patient, values)
            patient.identifying |= {one: values[one] for one in learnt if one in _PERSON}
            if "PatientName" in learnt:
                _keep_name(connection, patient.id, values)

    def _learn_study(self, connection: sqlite3.Connection, study: Study, arrival: Arrival) -> None:
        if self._is_begun_anew(connection, Level.STUDY, study, arrival):
            self._give_patient(connection, study, arrival)
        else:
            self._filled(connection, Level.STUDY, study, arrival.header.values)

    def _learn_series(self, connection: sqlite3.Connection, series: Series, arrival: Arrival) -> None:
        values = arrival.header.values
        if self._is_begun_anew(connection, Level.SERIES, series, arrival):
            series.modality, series.timezone = values.get("Modality", ""), values.get(_TIMEZONE, "")
            return
        learnt = self._filled(connection, Level.SERIES, series, values)
        if "Modality" in learnt:
            series.modality = values["Modality"]
        if _TIMEZONE in learnt:
            series.timezone = values[_TIMEZONE]

    def _is_begun_anew(
        self, connection: sqlite3.Connection, level: Level, entity: Entity, arrival: Arrival
    ) -> bool:
        """Give a vacant entity the values of the arrival, unless it was made from them."""
        if entity.served or entity.source == arrival.token:
            return False
        columns, values = self._columns[level], arrival.header.values
        row: list[Value] = [*columns.row(values), self._character_set(connection, arrival), entity.id]
        table = schema.TABLES[level].name
        connection.execute(f"UPDATE {table} SET {columns.assignments}, character_set = ? WHERE id = ?", row)
        entity.empty, entity.source = self._empty(level, values), arrival.token
        return True

    def _give_patient(self, connection: sqlite3.Connection, study: Study, arrival: Arrival) -> None:
        """Choose the patient of a vacant study again; a patient that is the study's own stays."""
        is_own = "PatientID" not in study.patient.identifying and not study.patient.served
        if is_own and not arrival.header.values.get("PatientID"):
            return
        study.patient = self._patient_of(connection, arrival)
        connection.execute("UPDATE study SET patient = ? WHERE id = ?", (study.patient.id, study.id))

    def _filled(
        self, connection: sqlite3.Connection, level: Level, entity: Entity, values: Mapping[str, str]
    ) -> list[str]:
        """Fill what is empty and return the keywords."""
        if entity.empty.isdisjoint(values):
            return []
        learnt = [keyword for keyword in values if keyword in entity.empty and values[keyword]]
        if learnt:
            assignments, row = self._columns[level].filling(values, learnt)
            table = schema.TABLES[level].name
            connection.execute(f"UPDATE {table} SET {assignments} WHERE id = ?", (*row, entity.id))
            entity.empty.difference_update(learnt)
        return learnt

    def _list(self, connection: sqlite3.Connection, study: Study, modality: str, sop_class_uid: str) -> None:
        if modality in study.modalities and sop_class_uid in study.sop_classes:
            return
        modalities, classes = study.modalities | _split(modality), study.sop_classes | {sop_class_uid}
        if (modalities, classes) != (study.modalities, study.sop_classes):
            self._set_lists(connection, study.id, modalities, classes)
            study.modalities, study.sop_classes = modalities, classes

    @staticmethod
    def _set_lists(
        connection: sqlite3.Connection, study_id: int, modalities: Iterable[str], sop_classes: Iterable[str]
    ) -> None:
        connection.execute(
            "UPDATE study SET modalities_in_study = ?, sop_classes_in_study = ? WHERE id = ?",
            ("\\".join(sorted(modalities)) or None, "\\".join(sorted(sop_classes)) or None, study_id),
        )

    def _empty(self, level: Level, values: Mapping[str, str]) -> set[str]:
        return {one for one in self._columns[level].keywords if one not in _IDENTITY and not values.get(one)}

    def _character_set(self, connection: sqlite3.Connection, arrival: Arrival) -> int:
        return self._dictionaries.character_set(connection, arrival.header.character_sets)


def _inserted(connection: sqlite3.Connection, statement: str, row: list[Value]) -> int:
    row_id = connection.execute(statement, row).lastrowid
    assert row_id is not None
    return row_id


def _split(text: str | None) -> set[str]:
    return set(filter(None, (text or "").split("\\")))


def _keep_name(connection: sqlite3.Connection, patient_id: int, values: Mapping[str, str]) -> None:
    if name := values.get("PatientName"):
        lookups.keep_parts(connection, patient_id, name)
