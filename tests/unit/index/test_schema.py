"""The tables of version 1, pinned; the views, read by hand."""

import zlib
from collections.abc import Iterator

import pytest

from pacsnode.dicom.attributes import ATTRIBUTES, Level, Source
from pacsnode.dicom.uid import packed
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index import schema
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.arriving import CT, arrival


@pytest.fixture
def index() -> Iterator[SqliteIndex]:
    index = SqliteIndex()
    yield index
    index.close()


def test_version_1_is_what_it_was(index: SqliteIndex) -> None:
    """A change of the attribute table or the schema needs a migration; then this checksum stays as it is."""
    rows = index._database.read(
        "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL ORDER BY name"
    )
    statements = [" ".join(statement.split()) for (statement,) in rows]
    assert f"{zlib.crc32(' '.join(statements).encode()):08x}" == "11dc0cb7"


def test_each_attribute_that_is_kept_has_a_column(index: SqliteIndex) -> None:
    for level, table in schema.TABLES.items():
        columns = {
            name for (name,) in index._database.read(f"SELECT name FROM pragma_table_info('{table.name}')")
        }
        for attribute in (*table.stored, *table.computed):
            assert attribute.column in columns
            if attribute.vr == "PN":
                assert f"{attribute.column}_folded" in columns
        special = {"SOPClassUID", "AvailableTransferSyntaxUID"} if level is Level.IMAGE else set()
        kept = {a.keyword for a in (*table.stored, *table.computed)} | special
        known = {a.keyword for a in ATTRIBUTES if a.level is level and a.source is not Source.CONSTANT}
        assert known - kept <= {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}


def test_each_index_that_leads_a_plan_exists(index: SqliteIndex) -> None:
    names = {name for (name,) in index._database.read("SELECT name FROM sqlite_schema WHERE type = 'index'")}
    assert set(schema.INDEX_OF.values()) <= names


@pytest.mark.parametrize("uid", ["1.2", "1.2.3", "2.25.0", "0.0", "1." + "9" * 62])
def test_a_uid_is_readable_in_sql(index: SqliteIndex, uid: str) -> None:
    assert index._database.read(f"SELECT {schema.uid_text('?')}", (packed(uid),)) == [(uid,)]


@pytest.mark.parametrize("number", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_32_bits_are_signed_and_back(index: SqliteIndex, number: int) -> None:
    assert -(1 << 31) <= schema.signed(number) < 1 << 31
    assert index._database.read("SELECT ? & 0xffffffff", (schema.signed(number),)) == [(number,)]


def test_the_views_are_readable(index: SqliteIndex) -> None:
    index.add(
        arrival(1, Modality="CT", PatientID="P1", SeriesNumber="01", InstanceNumber="7"),
        DuplicatePolicy.KEEP_BOTH,
    )
    read = index._database.read
    assert read("SELECT patient_id, number_of_patient_related_instances FROM patients") == [("P1", "1")]
    assert read("SELECT study_instance_uid, patient_id, modalities_in_study, last_received FROM studies") == [
        ("1.2.3", "P1", "CT", "2026-09-21 14:13:20")
    ]
    assert read("SELECT study_instance_uid, series_instance_uid, series_number FROM study_series") == [
        ("1.2.3", "1.2.3.4", "01")
    ]
    assert read(
        """SELECT study_instance_uid, sop_instance_uid, sop_class_uid, instance_number, version, sender,
        file_crc32c, data_set_crc32c, spool_token FROM instances"""
    ) == [("1.2.3", "1.2.3.4.5", CT, "7", 0, "CT1", "fffffffe", "00000001", 1)]
