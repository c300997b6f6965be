"""Header text to column values and back."""

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD, Attribute, KeyType, Level
from pacsnode.index import schema
from pacsnode.index.columns import COLUMNS, Columns, as_folded, as_number, with_folded_names


@pytest.mark.parametrize(
    ("text", "kept", "is_lossy"),
    [
        ("0", 0, False),
        ("512", 512, False),
        ("-3", -3, False),
        ("01", 1, True),
        ("+1", 1, True),
        ("70.0", 70, True),
        ("1.50", 1.5, True),
        ("1.5", 1.5, True),
        ("1e3", 1000, True),
        ("9007199254740993", 9007199254740992.0, True),
        ("1e999", float("inf"), True),
        ("one", "one", False),
        ("1A", "1A", False),
        ("٣", "٣", False),
        ("", "", False),
    ],
)
def test_a_number_is_kept_as_one(text: str, kept: object, is_lossy: bool) -> None:
    value, lossy = as_number(text)
    assert (value, type(value), lossy) == (kept, type(kept), is_lossy)


def test_several_names_are_folded_each_for_itself() -> None:
    assert as_folded(BY_KEYWORD["OperatorsName"], "DOE^JOHN^\\\\ROE^") == "doe^john\\roe"
    assert as_folded(BY_KEYWORD["PatientName"], "DOE^JOHN^") == "doe^john"


@pytest.mark.parametrize("level", list(Level))
def test_names_marks_assignments_and_row_are_of_one_length(level: Level) -> None:
    columns = COLUMNS[level]
    lengths = {len(text.split(", ")) for text in (columns.names, columns.marks, columns.assignments)}
    assert lengths == {len(columns.row({}))}
    assert set(columns.row({})) == {None}
    assert set(columns.row(dict.fromkeys(columns.keywords, ""))) == {None}


def test_filling_sets_no_other_column() -> None:
    values = {"SeriesNumber": "01", "Modality": "CT", "OperatorsName": "A^B", "Laterality": "L"}
    assignments, row = COLUMNS[Level.SERIES].filling(values, ["SeriesNumber", "OperatorsName"])
    assert dict(zip(assignments.split(' = ?, "'), row[:3], strict=False)).keys() == {
        '"operators_name"',
        'series_number"',
        "operators_name_folded\" = ?, as_sent = json_patch(coalesce(as_sent, '{}'), ?)",
    }
    assert row == ["A^B", 1, "a^b", '{"SeriesNumber": "01"}']


def test_names_in_items_are_folded_beside_themselves() -> None:
    sequence = BY_KEYWORD["VerifyingObserverSequence"]
    kept = with_folded_names(
        sequence, '[{"VerifyingObserverName":"Doe^J"},{"VerifyingOrganization":"Ärzte"}]'
    )
    assert kept == (
        '[{"VerifyingObserverName":"Doe^J","VerifyingObserverName_folded":"doe^j"},'
        '{"VerifyingOrganization":"Ärzte"}]'
    )


EXTRA = (
    Attribute(0x00189004, "ContentQualification", "CS", Level.SERIES, KeyType.OPTIONAL, is_extra=True),
    Attribute(
        0x0011000A, "0011,xx0A:ACME", "PN", Level.SERIES, KeyType.OPTIONAL, creator="ACME", is_extra=True
    ),
)


def test_extra_attributes_are_one_json_object() -> None:
    columns = Columns(Level.SERIES, EXTRA)
    assert (columns.names, columns.marks) == (COLUMNS[Level.SERIES].names, COLUMNS[Level.SERIES].marks)
    row = columns.row({"ContentQualification": "PRODUCT", "0011,xx0A:ACME": "Doe^J"})
    assert (
        row[-1]
        == '{"ContentQualification":"PRODUCT","0011,xx0A:ACME":"Doe^J","0011,xx0A:ACME_folded":"doe^j"}'
    )
    assert COLUMNS[Level.SERIES].row({"ContentQualification": "PRODUCT"})[-1] is None


def test_an_extra_attribute_fills_only_its_place() -> None:
    columns = Columns(Level.SERIES, EXTRA)
    assignments, row = columns.filling({"0011,xx0A:ACME": "A"}, ["0011,xx0A:ACME"])
    assert assignments == "extra = json_patch(coalesce(extra, '{}'), ?)"
    assert row == ['{"0011,xx0A:ACME":"A","0011,xx0A:ACME_folded":"a"}']
    none = [None] * len(schema.TABLES[Level.SERIES].stored)
    assert columns.read('{"ContentQualification":"X"}', none) == {"ContentQualification": "X"}
    assert columns.read(None, none) == {}
