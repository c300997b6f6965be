"""Conditions bind their values, whatever those are, and hold where the oracle says so."""

import contextlib
from collections.abc import Iterator

import pytest

from pacsnode.dicom.attributes import ATTRIBUTES, BY_KEYWORD, Attribute
from pacsnode.dicom.matching import number
from pacsnode.dicom.query import (
    AllOf,
    AnyOf,
    Empty,
    Items,
    Key,
    Matching,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)
from pacsnode.errors import InvalidUID
from pacsnode.index.conditions import condition
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.holding import holds


@pytest.fixture(scope="module")
def index() -> Iterator[SqliteIndex]:
    with contextlib.closing(SqliteIndex()) as index:
        yield index


HOSTILE = ("' OR '1'='1", '"; DROP TABLE study; --', "%", "_", "[a-z]", "\\", "?*[", "\x00", "1e999", "NULL")


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda attribute: attribute.keyword)
def test_no_value_becomes_sql(attribute: object) -> None:
    for value in HOSTILE:
        for matching in (
            SingleValue(value),
            ValueList((value, value + "'")),
            Wildcard(value + "*"),
            Range(value, value),
            Words((value, value)),
        ):
            key = Key(attribute, matching)  # type: ignore[arg-type]
            try:
                fragment = condition(key)
            except InvalidUID:
                continue
            assert fragment.sql == condition(Key(attribute, _plain(matching))).sql  # type: ignore[arg-type]


def _plain(matching: Matching) -> Matching:
    """Return a harmless condition of the same form, which delimiters and being a number decide on."""

    def plain(value: str) -> str:
        is_number = number(value) is not None
        return "1" if is_number else "".join(char if char in "\\=^*?" else "x" for char in value)

    match matching:
        case SingleValue(value):
            return SingleValue(plain(value))
        case ValueList(values):
            return ValueList(tuple(map(plain, values)))
        case Wildcard(pattern):
            return Wildcard(plain(pattern))
        case Words(words):
            return Words(tuple(map(plain, words)))
    return Range("plain", "plain")


@pytest.mark.parametrize(
    ("wanted", "stored", "found"),
    [("01", "1", True), ("+1", "1", True), ("1", "10", False), ("1A", "1A", True)],
)
def test_numbers_are_compared_as_numbers(index: SqliteIndex, wanted: str, stored: str, found: bool) -> None:
    assert holds(index, "SeriesNumber", SingleValue(wanted), SeriesNumber=stored) is found


@pytest.mark.parametrize(
    ("wanted", "found"), [("1.5", True), ("1.50", True), ("2", True), ("3", False), ("x", True), ("X", False)]
)
def test_one_of_several_numbers_is_compared_as_a_number(index: SqliteIndex, wanted: str, found: bool) -> None:
    value = "1.50\\2.0\\x"
    assert holds(index, "ImagePositionPatient", SingleValue(wanted), ImagePositionPatient=value) is found
    assert holds(index, "ImagePositionPatient", SingleValue("1.5"), ImagePositionPatient="1.50")


@pytest.mark.parametrize(
    ("matching", "found"),
    [
        (AllOf((SingleValue("CT"), SingleValue("AX"))), True),
        (AllOf((SingleValue("CT"), SingleValue("MR"))), False),
        (AnyOf((SingleValue("MR"), Wildcard("A*"))), True),
        (AnyOf((SingleValue("MR"), Empty())), False),
        (ValueList(("MR", "CT")), True),
        (Wildcard("*T"), True),
        (Wildcard("*X*"), True),
        (SingleValue("CT\\AX"), False),
        (Empty(), False),
    ],
)
def test_several_values(index: SqliteIndex, matching: Matching, found: bool) -> None:
    assert holds(index, "ImageType", matching, ImageType="CT\\AX") is found


@pytest.mark.parametrize(
    "keyword", ["PatientName", "StudyDate", "Modality", "ImageType", "Rows", "InstanceNumber"]
)
def test_what_is_absent_is_empty(index: SqliteIndex, keyword: str) -> None:
    assert holds(index, keyword, Empty())
    assert not holds(index, keyword, Empty(), **{keyword: "1"})
    assert holds(index, keyword, AnyOf((SingleValue("2"), Empty())))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_what_is_always_there_is_never_empty(index: SqliteIndex, keyword: str) -> None:
    assert not holds(index, keyword, Empty())


@pytest.mark.parametrize(
    ("matching", "stored", "found"),
    [
        (SingleValue("GRÖSSE"), "größe", True),
        (SingleValue("größe"), "GRO\u0308SSE", True),
        (Wildcard("*ÖSS?"), "größe", True),
        (ValueList(("x", "GRÖSSE")), "größe", True),
        (SingleValue("grosse"), "größe", False),
    ],
)
def test_text_without_regard_to_case(
    index: SqliteIndex, matching: Matching, stored: str, found: bool
) -> None:
    assert holds(index, "StudyDescription", matching, match_case=False, StudyDescription=stored) is found
    assert not holds(index, "StudyDescription", matching, StudyDescription=stored)


REQUESTS = (
    '[{"AccessionNumber":"A1","RequestedProcedureID":"R1",'
    '"RequestedProcedureCodeSequence":[{"CodeValue":"X"},{"CodeValue":"Y","CodeMeaning":"why \\"not\\""}]},'
    '{"AccessionNumber":"A2","RequestingPhysician":"Müller^Jürgen","ScheduledProcedureStepID":"S%"}]'
)


def asked_items(sequence: Attribute, **keys: Matching | dict[str, Matching]) -> Items:
    by_keyword = {attribute.keyword: attribute for attribute in sequence.items}
    return Items(
        tuple(
            Key(
                by_keyword[keyword],
                asked_items(by_keyword[keyword], **asked) if isinstance(asked, dict) else asked,
            )
            for keyword, asked in keys.items()
        )
    )


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"AccessionNumber": SingleValue("A1")}, True),
        ({"AccessionNumber": SingleValue("A1"), "ScheduledProcedureStepID": SingleValue("S%")}, False),
        ({"AccessionNumber": Wildcard("A?"), "ScheduledProcedureStepID": SingleValue("S%")}, True),
        ({"RequestingPhysician": SingleValue("muller^jurgen")}, True),
        ({"RequestingPhysician": Wildcard("mul*")}, True),
        ({"RequestingPhysician": Words(("jur",))}, True),
        ({"RequestedProcedureID": Empty()}, True),
        ({"RequestedProcedureID": Empty(), "AccessionNumber": SingleValue("A1")}, False),
        ({"RequestedProcedureCodeSequence": {"CodeValue": SingleValue("Y")}}, True),
        (
            {"RequestedProcedureCodeSequence": {"CodeValue": SingleValue("X"), "CodeMeaning": Wildcard("*")}},
            False,
        ),
        ({"RequestedProcedureCodeSequence": {"CodeMeaning": SingleValue('why "not"')}}, True),
        ({"RequestedProcedureCodeSequence": Empty(), "AccessionNumber": SingleValue("A2")}, True),
    ],
)
def test_one_item_matches_all_keys(
    index: SqliteIndex, keys: dict[str, Matching | dict[str, Matching]], found: bool
) -> None:
    sequence = BY_KEYWORD["RequestAttributesSequence"]
    wanted = asked_items(sequence, **keys)
    assert holds(index, sequence, wanted, RequestAttributesSequence=REQUESTS) is found
    assert not holds(index, sequence, wanted)


def test_a_long_list_without_regard_to_case_is_one_lookup(index: SqliteIndex) -> None:
    several = ValueList((*(f"A{number}" for number in range(36_000)), "GRÖSSE"))
    assert holds(index, "AccessionNumber", several, match_case=False, AccessionNumber="größe")
    assert holds(index, "AccessionNumber", several, match_case=False, AccessionNumber="a35999")
    assert not holds(index, "AccessionNumber", several, match_case=False, AccessionNumber="a36000")
    assert holds(index, "ImageType", several, match_case=False, ImageType="X\\a7")


@pytest.mark.parametrize(
    ("matching", "found"),
    [(SingleValue("D"), True), (Wildcard("d*"), True), (SingleValue("A=B"), True), (SingleValue("E"), False)],
)
def test_a_name_that_is_stored_with_more_groups_than_allowed_is_found(
    index: SqliteIndex, matching: Matching, found: bool
) -> None:
    assert holds(index, "PatientName", matching, PatientName="A=B=C=D") is found
