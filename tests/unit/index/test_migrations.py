"""An index file of an older version keeps its content and is searched like a new one."""

import contextlib
import sqlite3
from pathlib import Path

from pacsnode.database import Database
from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import Empty
from pacsnode.dicom.uid import packed
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index import schema
from pacsnode.index.migrations import MIGRATIONS
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.arriving import arrival, asking, rows

_PATIENT = """INSERT INTO patient (character_set, patient_id, patient_name, patient_name_folded, other_patient_names,
    other_patient_names_folded) VALUES (1, ?, ?, ?, ?, ?)"""
_FOLDED = "SELECT patient_name_folded, other_patient_names_folded FROM patient ORDER BY patient_id"


# What version 1 wrote for one CT image, and one of its views.
_VERSION_1 = (
    "INSERT INTO sop_class (id, uid) VALUES (1, '1.2.840.10008.5.1.4.1.1.2')",
    "INSERT INTO transfer_syntax (id, uid) VALUES (1, '1.2.840.10008.1.2.1')",
    "INSERT INTO sender (id, ae_title) VALUES (1, 'CT1')",
    """INSERT INTO patient (id, character_set, patient_name, patient_id, issuer_of_patient_id, patient_name_folded,
        number_of_patient_related_studies, number_of_patient_related_series, number_of_patient_related_instances)
        VALUES (1, 0, 'DOE^J', 'P1', 'H', 'doe^j', 1, 1, 1)""",
    """INSERT INTO study (id, patient, study_instance_uid, character_set, last_received_at_ms, as_sent, study_date,
        patient_weight, modalities_in_study, sop_classes_in_study, number_of_study_related_series,
        number_of_study_related_instances)
        VALUES (1, 1, x'1A2A3F', 0, 1790000000001, '{"PatientWeight": "70.50"}', '20200101', 70.5, 'CT',
        '1.2.840.10008.5.1.4.1.1.2', 1, 1)""",
    """INSERT INTO series (id, study, series_instance_uid, character_set, as_sent, modality, series_number,
        number_of_series_related_instances)
        VALUES (1, 1, x'1A2A3A4F', 0, '{"SeriesNumber": "01"}', 'CT', 1, 1)""",
    """INSERT INTO instance (id, series, sop_instance_uid, uid_hash, version, is_served, sop_class, transfer_syntax,
        sender, character_set, received_at_ms, file_length, file_crc32c, file_meta_length, data_set_crc32c,
        instance_number) VALUES (1, 1, x'1A2A3A4A5F', :hash, 0, 1, 1, 1, 1, 0, 1790000000001, 2001, -2, 1000, 1, 7)""",
    "INSERT INTO spooled (token, instance) VALUES (1, 1)",
    "CREATE VIEW studies AS SELECT study.id, study_date FROM study",
)


def version_1(path: Path) -> None:
    """Make a file as version 1 left it."""
    parameters = {"hash": schema.uid_hash(packed("1.2.3.4.5"))}

    def fill(connection: sqlite3.Connection) -> None:
        for statement in _VERSION_1:
            connection.execute(statement, parameters if ":hash" in statement else {})

    with contextlib.closing(Database(path, MIGRATIONS[:1], synchronous="OFF")) as database:
        database.write(fill)


def test_what_version_1_has_received_is_found_and_empty_in_what_it_did_not_read(tmp_path: Path) -> None:
    version_1(tmp_path / "index.db")
    asked = (
        "PatientName PatientWeight SeriesNumber InstanceNumber AdmissionID ProcedureCodeSequence ImageType"
    )
    query = asking(Level.IMAGE, *asked.split(), PatientID="P1", SOPInstanceUID="1.2.3.4.5")
    with contextlib.closing(SqliteIndex(tmp_path / "index.db")) as index:
        assert rows(index, query) == [("DOE^J", "70.50", "01", "7", None, None, None)]
        assert len(index.waiting(limit=9)) == 1
        assert rows(index, asking(Level.STUDY, AdmissionID=Empty())) == [()]
        assert rows(index, asking(Level.STUDY, AdmissionID="A1")) == []
        assert index.verify() == []
        assert index._database.read("SELECT study_instance_uid, patient_id, admission_id FROM studies") == [
            ("1.2.3", "P1", None)
        ]


def test_what_comes_later_fills_what_version_1_did_not_read(tmp_path: Path) -> None:
    version_1(tmp_path / "index.db")
    person = {"PatientID": "P1", "IssuerOfPatientID": "H", "PatientName": "DOE^J"}
    code = '[{"CodeValue":"C1"}]'
    with contextlib.closing(SqliteIndex(tmp_path / "index.db")) as index:
        index.add(
            arrival(
                2, "1.2.3.4.6", **person, AdmissionID="A1", ProcedureCodeSequence=code, ImageType="ORIGINAL"
            ),
            DuplicatePolicy.KEEP_BOTH,
        )
        asked = asking(
            Level.STUDY,
            "AdmissionID",
            "ProcedureCodeSequence",
            "NumberOfStudyRelatedInstances",
            AdmissionID="A1",
        )
        assert rows(index, asked) == [("A1", code, "2")]
        images = asking(Level.IMAGE, "SOPInstanceUID", "ImageType", StudyInstanceUID="1.2.3")
        assert sorted(rows(index, images)) == [("1.2.3.4.5", None), ("1.2.3.4.6", "ORIGINAL")]


def test_each_version_can_be_the_first(tmp_path: Path) -> None:
    for versions in range(1, len(MIGRATIONS)):
        path = tmp_path / f"{versions}.db"
        Database(path, MIGRATIONS[:versions], synchronous="OFF").close()
        with contextlib.closing(SqliteIndex(path)) as index:
            index.add(arrival(1, PatientID="P1"), DuplicatePolicy.KEEP_BOTH)
            assert len(rows(index, asking(Level.IMAGE, PatientID="P1"))) == 1


def test_names_of_version_1_are_folded_anew(tmp_path: Path) -> None:
    """Version 1 folded case alone."""
    path = tmp_path / "index.db"
    with contextlib.closing(Database(path, MIGRATIONS[:1], synchronous="OFF")) as database:
        for row in (
            ("P1", "Müller^Jürgen", "müller^jürgen", "X\\Wałęsa", "x\\wałęsa"),
            ("P2", "ﾔﾏﾀﾞ", "ﾔﾏﾀﾞ", None, None),
            ("P3", "DOE^JOHN", "doe^john", None, None),
        ):
            database.write(lambda connection, row=row: connection.execute(_PATIENT, row))
    with contextlib.closing(Database(path, MIGRATIONS, synchronous="OFF")) as database:
        rows = database.read(_FOLDED)
    assert rows == [("muller^jurgen", "x\\walesa"), ("ヤマダ", None), ("doe^john", None)]
