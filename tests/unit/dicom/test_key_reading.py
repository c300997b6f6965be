"""Sequences, private attributes, zones and combined ranges in an Identifier (PS3.4 C.2.2.2.5.4, C.2.2.2.6)."""

import struct
import time
from dataclasses import replace

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD, STANDARD, Attribute, KeyType, Level
from pacsnode.dicom.identifier import parse
from pacsnode.dicom.query import (
    BASELINE,
    Empty,
    InformationModel,
    Items,
    Key,
    Matching,
    Moments,
    Options,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
)
from pacsnode.errors import InvalidIdentifier, UnreadableDataSet
from tests.factories import element
from tests.factories_identifier import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Value, encode_identifier

LEVEL, CHARACTER_SET, ZONE = 0x00080052, 0x00080005, 0x00080201
PROCEDURE = BY_KEYWORD["ProcedureCodeSequence"]
REQUEST = BY_KEYWORD["RequestAttributesSequence"]
CODE_VALUE, SCHEME, MEANING = 0x00080100, 0x00080102, 0x00080104
COMBINED, ZONED = Options(combined_date_time=True), Options(timezone_adjustment=True)


def asked(
    level: str = "IMAGE",
    options: Options = BASELINE,
    other: dict[int, tuple[str, Value]] | None = None,
    **values: Value,
) -> Query:
    elements = {BY_KEYWORD[keyword].tag: (BY_KEYWORD[keyword].vr, value) for keyword, value in values.items()}
    elements |= {LEVEL: ("CS", level)} | (other or {})
    return parse(encode_identifier(elements), EXPLICIT_LITTLE, InformationModel.STUDY_ROOT, options=options)


def keys_of(query: Query) -> dict[str, Matching]:
    return {key.attribute.keyword: key.matching for key in query.keys}


def item_of(sequence: Attribute, keyword: str) -> Attribute:
    return next(one for one in sequence.items if one.keyword == keyword)


def narrowed(sequence: Attribute, *keywords: str) -> Attribute:
    return replace(sequence, items=tuple(item_of(sequence, keyword) for keyword in keywords))


def test_the_item_of_a_sequence_has_keys_of_its_own() -> None:
    query = asked(
        ProcedureCodeSequence={
            CODE_VALUE: ("SH", "T-D1*"),
            SCHEME: ("SH", "SRT"),
            MEANING: ("LO", ""),
        }
    )
    assert keys_of(query) == {
        "ProcedureCodeSequence": Items(
            (
                Key(item_of(PROCEDURE, "CodeValue"), Wildcard("T-D1*")),
                Key(item_of(PROCEDURE, "CodingSchemeDesignator"), SingleValue("SRT")),
            )
        )
    }
    assert narrowed(PROCEDURE, "CodeValue", "CodingSchemeDesignator", "CodeMeaning") in query.returned
    assert query.unsupported == query.unsupported_items == ()


@pytest.mark.parametrize("value", [None, {}])
def test_no_item_and_an_empty_one_ask_for_all_of_the_sequence(value: Value) -> None:
    query = asked(ProcedureCodeSequence=value)
    assert query.keys == ()
    assert PROCEDURE in query.returned


def test_an_item_without_values_asks_for_these_attributes() -> None:
    query = asked(ProcedureCodeSequence={CODE_VALUE: ("SH", None), MEANING: ("LO", "*")})
    assert query.keys == ()
    assert narrowed(PROCEDURE, "CodeValue", "CodeMeaning") in query.returned


def test_sequences_in_items() -> None:
    """C.2.2.2.6: recursive Sequence Matching."""
    issuer = item_of(REQUEST, "IssuerOfAccessionNumberSequence")
    query = asked(
        RequestAttributesSequence={
            0x00080050: ("SH", "A1\\A2"),
            issuer.tag: ("SQ", {issuer.items[0].tag: ("UT", "HOSPITAL")}),
        }
    )
    inner = Items((Key(issuer.items[0], SingleValue("HOSPITAL")),))
    accession = item_of(REQUEST, "AccessionNumber")
    assert keys_of(query) == {
        "RequestAttributesSequence": Items((Key(accession, ValueList(("A1", "A2"))), Key(issuer, inner)))
    }
    expected = replace(REQUEST, items=(accession, narrowed(issuer, issuer.items[0].keyword)))
    assert expected in query.returned


def test_what_an_item_asks_for_that_is_not_known_is_told() -> None:
    """C.2.2.1.3: an unsupported optional key, 0xFF01."""
    query = asked(ProcedureCodeSequence={CODE_VALUE: ("SH", "1"), 0x00404041: ("CS", "X")})
    assert query.unsupported == ()
    assert query.unsupported_items == (PROCEDURE.tag,)
    assert narrowed(PROCEDURE, "CodeValue") in query.returned
    nothing = asked(ProcedureCodeSequence={0x00404041: ("CS", "X")})
    assert nothing.unsupported == (PROCEDURE.tag,)
    assert nothing.keys == ()
    assert PROCEDURE.tag not in {one.tag for one in nothing.returned}


def test_options_count_in_items_too() -> None:
    query = asked(options=Options(empty_value=True), ProcedureCodeSequence={CODE_VALUE: ("SH", '""')})
    assert keys_of(query) == {
        "ProcedureCodeSequence": Items((Key(item_of(PROCEDURE, "CodeValue"), Empty()),))
    }


def test_an_item_may_have_its_own_character_set() -> None:
    """PS3.5 7.5.3."""
    item = element(CHARACTER_SET, "CS", b"ISO_IR 192") + element(MEANING, "LO", "Schädel ".encode())
    sequence = element(PROCEDURE.tag, "SQ", _item(item))
    data = element(CHARACTER_SET, "CS", b"ISO_IR 100") + element(LEVEL, "CS", b"STUDY ") + sequence
    query = parse(data, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT)
    meaning = Key(item_of(PROCEDURE, "CodeMeaning"), SingleValue("Schädel"))
    assert keys_of(query) == {"ProcedureCodeSequence": Items((meaning,))}
    assert query.unsupported_items == ()


def _item(content: bytes, *, has_length: bool = True) -> bytes:
    if has_length:
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
    return struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + content + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)


def _undefined(tag: int, items: bytes) -> bytes:
    head = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, 0xFFFFFFFF)
    return head + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


@pytest.mark.parametrize("has_length", [True, False])
def test_a_sequence_may_have_no_length(has_length: bool) -> None:
    code = element(CODE_VALUE, "SH", b"69536005")
    data = element(LEVEL, "CS", b"STUDY ") + _undefined(PROCEDURE.tag, _item(code, has_length=has_length))
    query = parse(data, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT)
    value = Key(item_of(PROCEDURE, "CodeValue"), SingleValue("69536005"))
    assert keys_of(query) == {"ProcedureCodeSequence": Items((value,))}
    none = element(LEVEL, "CS", b"STUDY ") + _undefined(PROCEDURE.tag, b"")
    assert parse(none, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT).keys == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_item(b"") + _item(b""), "several items"),
        (_item(element(CODE_VALUE, "SH", b"1 ")) + _item(element(CODE_VALUE, "SH", b"2 ")), "several items"),
        (element(CODE_VALUE, "SH", b"1 "), "cannot be read"),
        (struct.pack("<HHI", 0xFFFE, 0xE000, 100) + element(CODE_VALUE, "SH", b"1 "), "cannot be read"),
        (_item(b"garbage!"), "cannot be read"),
        (_item(element(CODE_VALUE, "SH", b"x" * 65_000) * 2), "longer"),
    ],
)
def test_a_sequence_that_cannot_be_read_is_refused_and_not_left_out(content: bytes, reason: str) -> None:
    data = element(LEVEL, "CS", b"STUDY ") + element(PROCEDURE.tag, "SQ", content)
    with pytest.raises(InvalidIdentifier, match=reason) as raised:
        parse(data, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT)
    assert raised.value.offending == (PROCEDURE.tag,)


@pytest.mark.parametrize(
    ("tag", "vr", "value"), [(CODE_VALUE, "SH", "*1" * 40), (CODE_VALUE, "SH", "1" * 10_241)]
)
def test_a_key_in_an_item_without_a_meaning_is_refused_by_its_tag(tag: int, vr: str, value: str) -> None:
    with pytest.raises(InvalidIdentifier) as raised:
        asked(ProcedureCodeSequence={tag: (vr, value)})
    assert raised.value.offending == (tag,)


@pytest.mark.parametrize("tag", [PROCEDURE.tag, 0x00404033])
@pytest.mark.parametrize("has_length", [True, False])
def test_a_thousand_sequences_within_another_are_refused_soon(tag: int, has_length: bool) -> None:
    content = b""
    for _ in range(1000):
        item = _item(content, has_length=has_length)
        content = element(tag, "SQ", item) if has_length else _undefined(tag, item)
    started = time.monotonic()
    with pytest.raises(UnreadableDataSet, match="nested") as raised:
        parse(element(LEVEL, "CS", b"STUDY ") + content, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT)
    assert time.monotonic() - started < 5
    assert raised.value.offending == (tag,)


def test_sequences_within_another_up_to_the_bound_are_read_as_far_as_they_are_known() -> None:
    content = b""
    for _ in range(60):
        content = _undefined(PROCEDURE.tag, _item(content))
    query = parse(element(LEVEL, "CS", b"STUDY ") + content, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT)
    assert query.unsupported == (PROCEDURE.tag,)


# Dates with times (C.2.2.2.5.4)


@pytest.mark.parametrize(
    ("date", "time_", "expected"),
    [
        (
            "20060705-20060707",
            "1000-1800",
            {"StudyDate": Moments("20060705100000.000000", "20060707180059.999999")},
        ),
        # a time that would end before it begins may, with its date
        (
            "20060705-20060707",
            "18-10",
            {"StudyDate": Moments("20060705180000.000000", "20060707105959.999999")},
        ),
        ("20060705-", "1000-", {"StudyDate": Moments("20060705100000.000000", None)}),
        ("-20060705", "-10", {"StudyDate": Moments(None, "20060705105959.999999")}),
        (
            "20060705-20060705",
            "235960-235960",
            {"StudyDate": Moments("20060706000000.000000", "20060706000000.999999")},
        ),
        # not of the same form, or no ranges: each for itself
        ("20060705-", "-1000", {"StudyDate": Range("20060705", None), "StudyTime": Range(None, "1000")}),
        ("20060705", "1000-1100", {"StudyDate": SingleValue("20060705"), "StudyTime": Range("1000", "1100")}),
        (
            "20060705-20060707",
            "10",
            {"StudyDate": Range("20060705", "20060707"), "StudyTime": Range("10", "10")},
        ),
        ("20060705-20060707", None, {"StudyDate": Range("20060705", "20060707")}),
    ],
)
def test_ranges_of_a_date_and_its_time(date: str, time_: str | None, expected: dict[str, Matching]) -> None:
    assert keys_of(asked(options=COMBINED, StudyDate=date, StudyTime=time_)) == expected


def test_ranges_are_combined_only_if_that_was_negotiated() -> None:
    found = keys_of(asked(StudyDate="20060705-20060707", StudyTime="1000-1800"))
    assert found == {"StudyDate": Range("20060705", "20060707"), "StudyTime": Range("1000", "1800")}


def test_each_date_has_its_own_time() -> None:
    query = asked(
        options=COMBINED, SeriesDate="20200101-", StudyTime="10-", ContentDate="20200102-", ContentTime="11-"
    )
    assert keys_of(query) == {
        "SeriesDate": Range("20200101", None),
        "StudyTime": Range("10", None),
        "ContentDate": Moments("20200102110000.000000", None),
    }
    assert {"ContentDate", "ContentTime"} <= {one.keyword for one in query.returned}


@pytest.mark.parametrize(("date", "time_"), [("20060705-20060705", "18-10"), ("20060707-20060705", "10-18")])
def test_a_combined_range_that_ends_before_it_begins_is_refused(date: str, time_: str) -> None:
    with pytest.raises(InvalidIdentifier, match="before") as raised:
        asked(options=COMBINED, StudyDate=date, StudyTime=time_)
    assert raised.value.offending == (BY_KEYWORD["StudyDate"].tag,)


# Time zones (C.2.2.2, C.4.1.1.3.1)


@pytest.mark.parametrize(
    ("text", "expected"), [("+0100", 60), ("-0330 ", -210), ("+0000", 0), (None, None), ("", None)]
)
def test_the_zone_of_the_request(text: str | None, expected: int | None) -> None:
    other: dict[int, tuple[str, Value]] = {ZONE: ("SH", text)}
    assert asked(options=ZONED, other=other).timezone == expected
    assert asked(other=other).timezone is None, "it was not negotiated"
    assert asked(options=ZONED).timezone is None


@pytest.mark.parametrize("text", ["EST", "+1500", "+01:00", "0100", "+0100\\+0200"])
def test_a_zone_that_is_none_is_refused_where_it_counts(text: str) -> None:
    other: dict[int, tuple[str, Value]] = {ZONE: ("SH", text)}
    with pytest.raises(InvalidIdentifier) as raised:
        asked(options=ZONED, other=other)
    assert raised.value.offending == (ZONE,)
    assert asked(other=other).unsupported == ()


def test_a_date_and_time_is_in_the_zone_of_the_request() -> None:
    found = asked(options=ZONED, other={ZONE: ("SH", "+0100")}, AcquisitionDateTime="2020011510")
    assert keys_of(found) == {"AcquisitionDateTime": Range("20200115090000.000000", "20200115095959.999999")}


# Private attributes (PS3.5 7.8.1), case


EXTRA = Attribute(
    0x00190010, "ACME_19_10", "LO", Level.STUDY, KeyType.OPTIONAL, creator="ACME", is_extra=True
)
CATALOGUE = STANDARD.with_extra((EXTRA,))


@pytest.mark.parametrize("block", [0x10, 0x22])
def test_a_private_attribute_is_found_by_its_creator_in_any_block(block: int) -> None:
    data = element(LEVEL, "CS", b"STUDY ") + element(0x00190000 | block, "LO", b"ACME")
    data += element(0x00190000 | block << 8 | 0x10, "LO", b"x*")
    query = parse(data, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT, catalogue=CATALOGUE)
    assert query.keys == (Key(EXTRA, Wildcard("x*")),)
    assert replace(EXTRA, tag=0x00190010 | block << 8) in query.returned
    assert query.unsupported == ()


@pytest.mark.parametrize("creator", [b"OTHER ", b""])
def test_the_private_attribute_of_another_creator_is_not_known(creator: bytes) -> None:
    data = element(LEVEL, "CS", b"STUDY ") + element(0x00190010, "LO", creator)
    data += element(0x00191010, "LO", b"x ")
    query = parse(data, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT, catalogue=CATALOGUE)
    assert query.keys == ()
    assert query.unsupported == (0x00191010,)


def test_text_is_compared_without_case_where_that_is_configured() -> None:
    values = {BY_KEYWORD[keyword].tag: (BY_KEYWORD[keyword].vr, text) for keyword, text in (
        ("PatientID", "p1"), ("PatientName", "doe"), ("StudyInstanceUID", "1.2"), ("StudyDate", "20200101"),
    )}  # fmt: skip
    values |= {LEVEL: ("CS", "STUDY"), PROCEDURE.tag: ("SQ", {CODE_VALUE: ("SH", "a")})}
    data = encode_identifier(values)
    query = parse(data, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT, match_case=False)
    assert {key.attribute.keyword: key.match_case for key in query.keys} == {
        "PatientID": False,
        "PatientName": True,
        "StudyInstanceUID": True,
        "StudyDate": True,
        "ProcedureCodeSequence": True,
    }
    (codes,) = [key.matching for key in query.keys if isinstance(key.matching, Items)]
    assert not codes.keys[0].match_case
    assert all(key.match_case for key in parse(data, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT).keys)


def test_an_implicit_identifier_has_sequences_too() -> None:
    data = encode_identifier(
        {LEVEL: ("CS", "STUDY"), PROCEDURE.tag: ("SQ", {CODE_VALUE: ("SH", "69536005")})}, IMPLICIT_LITTLE
    )
    query = parse(data, IMPLICIT_LITTLE, InformationModel.STUDY_ROOT)
    assert keys_of(query) == {
        "ProcedureCodeSequence": Items((Key(item_of(PROCEDURE, "CodeValue"), SingleValue("69536005")),))
    }


@pytest.mark.parametrize("tag", [0x00100010, 0x00100020, 0x00080061, 0x00080020, 0x00081030])
def test_a_value_without_bounds_is_refused_before_it_is_read(tag: int) -> None:
    data = element(LEVEL, "CS", b"STUDY ") + element(tag, "UT", b"\x1b$B;3\x1b(B" * 50_000)
    started = time.monotonic()
    with pytest.raises(InvalidIdentifier, match="longer") as raised:
        parse(data, EXPLICIT_LITTLE, InformationModel.STUDY_ROOT)
    assert raised.value.offending == (tag,)
    assert time.monotonic() - started < 1
