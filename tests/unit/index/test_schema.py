"""The tables, pinned by version; where attributes are kept; the views, read by hand."""

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacsnode.database import Database
from pacsnode.dicom.attributes import (
    ATTRIBUTES,
    BY_KEYWORD,
    STANDARD,
    Attribute,
    KeyType,
    Level,
    Source,
)
from pacsnode.dicom.uid import packed
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index import schema
from pacsnode.index.migrations import MIGRATIONS
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.arriving import CT, arrival


@pytest.fixture
def index() -> Iterator[SqliteIndex]:
    index = SqliteIndex()
    yield index
    index.close()


def statements(path: Path, versions: int) -> str:
    """Return a checksum of the tables and indexes of a new file that this many migrations have made."""
    with contextlib.closing(Database(path, MIGRATIONS[:versions], synchronous="OFF")) as database:
        rows = database.read(
            "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL ORDER BY name"
        )
    text = " ".join(" ".join(statement.split()) for (statement,) in rows)
    return f"{zlib.crc32(text.encode()):08x}"


def test_version_1_is_what_it_was(tmp_path: Path) -> None:
    assert statements(tmp_path / "index.db", 1) == "11dc0cb7"


def test_version_2_has_the_columns_of_the_attribute_table(tmp_path: Path) -> None:
    """A change of the attribute table needs a further migration, that adds what is missing; then this changes."""
    assert statements(tmp_path / "index.db", 2) == "0441066a"


def test_version_3_is_what_it_was(tmp_path: Path) -> None:
    assert statements(tmp_path / "index.db", 3) == "1a31b734"


def test_each_attribute_that_is_kept_has_a_column(index: SqliteIndex) -> None:
    read, missing = index._database.read, []
    for level, table in schema.TABLES.items():
        own = {name for (name,) in read(f"SELECT name FROM pragma_table_info('{table.name}')")}
        common = {name for (name,) in read("SELECT name FROM pragma_table_info('image_common')")}
        assert "extra" in own
        for attribute in (a for a in ATTRIBUTES if a.level is level and a.source is not Source.CONSTANT):
            columns = common if schema.is_common(attribute) else own
            wanted = {attribute.column} | ({f"{attribute.column}_folded"} if attribute.vr == "PN" else set())
            missing += [attribute.keyword] if wanted - columns else []
    assert set(missing) == {"SOPClassUID", "AvailableTransferSyntaxUID"}


def test_what_images_have_in_common_is_never_a_number() -> None:
    """`as_sent`, which gives numbers back, is a column of instances."""
    assert len(schema.common()) > 30
    assert not [attribute for attribute in schema.common() if schema.is_numeric(attribute)]


def test_names_stand_only_in_items_of_the_first_level() -> None:
    """Those are folded beside themselves (`columns.with_folded_names`)."""
    inner = [one for a in ATTRIBUTES for item in a.items for one in item.items]
    assert inner
    assert not [one for one in inner if one.vr == "PN"]


@pytest.mark.parametrize(
    "text",
    ["", "1", "12", "101500.123456", "-158.135803\\-179.035797\\0", "20200115101500.5+0100", "1e-5", "007"],
)
def test_numbers_dates_and_times_are_packed_to_half(index: SqliteIndex, text: str) -> None:
    packed_value = schema.packed_text(text)
    assert isinstance(packed_value, bytes)
    assert len(packed_value) == (len(text) + 1) // 2
    unpacked = schema.text(BY_KEYWORD["AcquisitionTime"]).replace('instance."acquisition_time"', "?1")
    assert index._database.read(f"SELECT {unpacked}", (packed_value,)) == [(text,)]


@pytest.mark.parametrize("text", ["NOON", "1E5", "10 15", "10:15", "A", "F", "1é", "\ud800"])
def test_other_text_is_kept_as_it_is(text: str) -> None:
    assert schema.packed_text(text) == text


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


def test_the_views_show_sequences_shared_rows_and_extra_attributes() -> None:
    extra = Attribute(0x00180050, "SliceThickness", "DS", Level.IMAGE, KeyType.OPTIONAL, is_extra=True)
    index = SqliteIndex(catalogue=STANDARD.with_extra((extra,)))
    items = '[{"VerifyingObserverName":"DOE^J"}]'
    index.add(
        arrival(
            1,
            ImageType="ORIGINAL",
            AcquisitionTime="101500",
            VerifyingObserverSequence=items,
            SliceThickness="1.5",
        ),
        DuplicatePolicy.KEEP_BOTH,
    )
    columns = "image_type, acquisition_time, verifying_observer_sequence, extra"
    rows = index._database.read(f"SELECT {columns} FROM instances")
    index.close()
    assert rows == [("ORIGINAL", "101500", items, '{"SliceThickness":"1.5"}')]
