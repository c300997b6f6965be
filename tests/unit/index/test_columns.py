"""Header text to column values and back."""

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.index.columns import COLUMNS, as_folded, as_number


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
