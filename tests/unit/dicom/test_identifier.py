"""Identifiers of C-FIND, C-MOVE and C-GET requests, rule by rule (PS3.4 C.2.2.2, C.4.1, C.4.2, C.4.3)."""

import struct
import time
import unicodedata
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.identifier import parse, parse_retrieve
from pacsnode.dicom.query import (
    AnyOf,
    InformationModel,
    Items,
    Matching,
    Options,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
)
from pacsnode.errors import InvalidIdentifier, InvalidUID, RequestError, UnreadableDataSet
from tests.factories_identifier import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    all_match_case,
    encode_identifier,
    encode_query,
    understood,
)
from tests.factories_query import negotiated, queries

PATIENT_ROOT, STUDY_ROOT = InformationModel.PATIENT_ROOT, InformationModel.STUDY_ROOT
LEVEL = 0x00080052
CHARACTER_SET = 0x00080005
SYNTAXES = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG)

Other = dict[int, tuple[str, str | None]]


def identifier(level: str | None, *, other: Other | None = None, **values: str | None) -> bytes:
    """Return an Identifier with values by keyword, and by tag with their VR."""
    by_tag: Other = {
        BY_KEYWORD[keyword].tag: (BY_KEYWORD[keyword].vr, text) for keyword, text in values.items()
    }
    if level is not None:
        by_tag[LEVEL] = ("CS", level)
    return encode_identifier(by_tag | (other or {}))


def find(level: str | None, model: InformationModel = STUDY_ROOT, **values: str | None) -> Query:
    return parse(identifier(level, **values), EXPLICIT_LITTLE, model)


def condition(keyword: str, text: str) -> Matching | None:
    """Return how C-FIND understands one key, in UTF-8."""
    other: Other = {CHARACTER_SET: ("CS", "ISO_IR 192")}
    query = parse(identifier("IMAGE", other=other, **{keyword: text}), EXPLICIT_LITTLE, PATIENT_ROOT)
    assert BY_KEYWORD[keyword] in query.returned
    assert len(query.keys) <= 1
    return query.keys[0].matching if query.keys else None


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        # C.2.2.2.1 Single Value Matching; padding is not significant (PS3.5 6.2)
        ("PatientID", "P1", SingleValue("P1")),
        ("PatientID", "  P 1  ", SingleValue("P 1")),
        ("PatientID", "\0P\0001\0", SingleValue("P 1")),
        ("PatientComments", "  indented ", SingleValue("  indented")),
        ("PatientComments", "a\\b", SingleValue("a\\b")),
        ("PatientID", "P%_['\"]", SingleValue("P%_['\"]")),
        ("PatientName", "Müller^Jürgen", SingleValue("Müller^Jürgen")),
        ("PatientAge", "045Y", SingleValue("045Y")),
        ("SeriesNumber", " 007 ", SingleValue("007")),
        ("PatientWeight", "7.25e1", SingleValue("7.25e1")),
        ("Rows", "512", SingleValue("512")),
        ("StudyInstanceUID", "1.2.3", SingleValue("1.2.3")),
        ("StudyInstanceUID", "1.2.03", SingleValue("1.2.03")),
        ("ModalitiesInStudy", "CT", SingleValue("CT")),
        ("SOPClassesInStudy", "1.2.3", SingleValue("1.2.3")),
        # C.2.2.2.2 List of UID Matching
        ("StudyInstanceUID", "1.2.3\\1.2.4", ValueList(("1.2.3", "1.2.4"))),
        ("StudyInstanceUID", "1.2.3\\\\1.2.3\\", SingleValue("1.2.3")),
        # C.2.2.2.8 note 4, as pacsnode defines it: any of them
        ("ModalitiesInStudy", "CT\\ MR", ValueList(("CT", "MR"))),
        ("ModalitiesInStudy", "CT\\CT", SingleValue("CT")),
        ("ModalitiesInStudy", "CT\\*", None),
        ("Modality", "CT\\MR", ValueList(("CT", "MR"))),
        ("AccessionNumber", "A1\\A2", ValueList(("A1", "A2"))),
        ("ModalitiesInStudy", "C*\\MR", AnyOf((Wildcard("C*"), SingleValue("MR")))),
        ("PatientName", "A\\B", ValueList(("A", "B"))),
        ("PatientName", "A*\\B", AnyOf((Wildcard("A*"), SingleValue("B")))),
        ("PatientName", "A\\^^\\B", None),
        ("PatientAge", "045Y\\046Y", ValueList(("045Y", "046Y"))),
        ("Rows", "1\\2", ValueList(("1", "2"))),
        ("InstanceNumber", "1\\2", ValueList(("1", "2"))),
        ("StudyDate", "20200101\\2020.01.02", ValueList(("20200101", "20200102"))),
        ("StudyDate", "20200101\\20200105-", AnyOf((SingleValue("20200101"), Range("20200105", None)))),
        ("StudyTime", "10\\12-13", AnyOf((Range("10", "10"), Range("12", "13")))),
        ("StudyDate", "20200101\\2020.01.01", SingleValue("20200101")),
        # C.2.2.2.3 Universal Matching
        ("PatientID", "", None),
        ("PatientID", "   ", None),
        ("PatientName", "^^", None),
        ("PatientName", "==", None),
        ("StudyInstanceUID", "", None),
        ("StudyDate", "", None),
        ("Rows", "", None),
        # C.2.2.2.4 Wild Card Matching; `*` alone is universal (its note 1)
        ("PatientID", "*", None),
        ("PatientID", "**", None),
        ("PatientName", "*^", None),
        ("PatientID", "P*", Wildcard("P*")),
        ("PatientID", "P**1?", Wildcard("P*1?")),
        ("PatientID", "?", Wildcard("?")),
        ("PatientName", "m?ller*", Wildcard("m?ller*")),
        ("Modality", "C*", Wildcard("C*")),
        ("ModalitiesInStudy", "C?", Wildcard("C?")),
        ("PatientComments", " *x\\*", Wildcard(" *x\\*")),
        # C.2.2.2.5 Range Matching, DA
        ("StudyDate", "20200115", SingleValue("20200115")),
        ("StudyDate", "2020.01.15", SingleValue("20200115")),
        ("StudyDate", "20200115-20200120", Range("20200115", "20200120")),
        ("StudyDate", "20200115 - 20200120", Range("20200115", "20200120")),
        ("StudyDate", "2020.01.15-2020.01.20", Range("20200115", "20200120")),
        ("StudyDate", "20200115-", Range("20200115", None)),
        ("StudyDate", "-20200115", Range(None, "20200115")),
        # TM: a single time covers its span (PS3.5 6.2)
        ("StudyTime", "10", Range("10", "10")),
        ("StudyTime", "10:30", Range("1030", "1030")),
        ("StudyTime", "1030-1100", Range("1030", "1100")),
        ("StudyTime", "10:30:00.25-", Range("103000.25", None)),
        ("StudyTime", "-235959.999999", Range(None, "235959.999999")),
        # DT: a single one covers its span, offsets are taken into account (C.2.2.2.5.3)
        ("AcquisitionDateTime", "2020", Range("20200101000000.000000", "20201231235959.999999")),
        ("AcquisitionDateTime", "202002", Range("20200201000000.000000", "20200229235959.999999")),
        ("AcquisitionDateTime", "20200115103000.25", Range("20200115103000.250000", "20200115103000.259999")),
        (
            "AcquisitionDateTime",
            "20200115103000+0100",
            Range("20200115093000.000000", "20200115093000.999999"),
        ),
        ("AcquisitionDateTime", "20200115-", Range("20200115000000.000000", None)),
        ("AcquisitionDateTime", "-2020", Range(None, "20201231235959.999999")),
        ("AcquisitionDateTime", "2020-2021", Range("20200101000000.000000", "20211231235959.999999")),
        ("AcquisitionDateTime", "20200101-0500-", Range("20200101050000.000000", None)),
        (
            "AcquisitionDateTime",
            "20200101-0500-20200102+0100",
            Range("20200101050000.000000", "20200102225959.999999"),
        ),
        (
            "AcquisitionDateTime",
            "20200101-1000 - 20200102-1000",
            Range("20200101100000.000000", "20200103095959.999999"),
        ),
        ("AcquisitionDateTime", "20200101-0500", Range("20200101050000.000000", "20200102045959.999999")),
        # counts are return keys only
        ("NumberOfStudyRelatedInstances", "12", None),
        ("NumberOfPatientRelatedStudies", "nonsense", None),
    ],
)
def test_what_a_key_asks_for(keyword: str, text: str, expected: Matching | None) -> None:
    if keyword.startswith("NumberOf"):
        other: Other = {BY_KEYWORD[keyword].tag: ("LO", text)}  # pydicom writes no IS that is no number
        assert parse(identifier("IMAGE", other=other), EXPLICIT_LITTLE, PATIENT_ROOT).keys == ()
    else:
        assert condition(keyword, text) == expected


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        # C.2.2.2.5: malformed, or ends that are none
        ("StudyDate", "-"),
        ("StudyDate", "20200115-20200120-"),
        ("StudyDate", "20200230"),
        ("StudyDate", "20200101-20200230"),
        ("StudyDate", "202001"),
        ("StudyDate", "2020*"),
        ("StudyTime", "25"),
        ("StudyTime", "10-1060"),
        ("StudyTime", "1*"),
        ("PatientBirthDate", "today"),
        # one of several
        ("StudyDate", "20200101\\20200230"),
        ("StudyTime", "10\\25"),
        # a range that ends before it begins; over midnight none is defined (C.2.2.2.5.2)
        ("StudyDate", "20200102-20200101"),
        ("StudyTime", "22-02"),
        ("StudyTime", "103001-1029"),
        ("AcquisitionDateTime", "20200102-20200101"),
        # no reasonable value
        ("PatientID", "P" * 10_241),
        ("PatientComments", "*" + "x?" * 5_121),
    ],
)
def test_a_key_without_a_meaning_is_refused_by_its_tag(keyword: str, text: str) -> None:
    with pytest.raises(InvalidIdentifier) as raised:
        condition(keyword, text)
    assert raised.value.offending == (BY_KEYWORD[keyword].tag,)
    assert len(text) == 1 or text not in str(raised.value)


@pytest.mark.parametrize("text", ["one", "1\\x", "0x1", "1-5"])
def test_a_number_key_that_is_none_is_refused(text: str) -> None:
    tag = BY_KEYWORD["InstanceNumber"].tag
    with pytest.raises(InvalidIdentifier) as raised:
        parse(identifier("IMAGE", other={tag: ("LO", text)}), EXPLICIT_LITTLE, STUDY_ROOT)
    assert raised.value.offending == (tag,)


@pytest.mark.parametrize("text", ["1.2.*", "*", "1..2", "abc", "1." * 40 + "1", "1.2.3\\x"])
def test_a_uid_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidUID) as raised:
        condition("StudyInstanceUID", text)
    assert raised.value.offending == (BY_KEYWORD["StudyInstanceUID"].tag,)
    assert str(raised.value) == "StudyInstanceUID is not a UID"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no Query/Retrieve Level; must be PATIENT, STUDY, SERIES or IMAGE"),
        ("WORLD", "Query/Retrieve Level must be PATIENT, STUDY, SERIES or IMAGE"),
    ],
)
def test_a_level_that_is_none_is_told_from_a_missing_one(text: str | None, message: str) -> None:
    with pytest.raises(InvalidIdentifier) as raised:
        parse(encode_identifier({LEVEL: ("CS", text)}), EXPLICIT_LITTLE, PATIENT_ROOT)
    assert str(raised.value) == message
    assert len(message) <= 64


@pytest.mark.parametrize(
    ("model", "level"),
    [
        (STUDY_ROOT, None),
        (STUDY_ROOT, ""),
        (STUDY_ROOT, "PATIENT"),  # C.6.2.1: Study Root begins at STUDY
        (STUDY_ROOT, "INSTANCE"),
        (STUDY_ROOT, "study"),
        (STUDY_ROOT, "STUDY\\SERIES"),
        (PATIENT_ROOT, "*"),
    ],
)
def test_a_level_that_the_model_lacks_is_refused(model: InformationModel, level: str | None) -> None:
    for understand in (parse, parse_retrieve):
        with pytest.raises(InvalidIdentifier) as raised:
            understand(identifier(level, PatientID="P1", StudyInstanceUID="1.2"), EXPLICIT_LITTLE, model)
        assert raised.value.offending == (LEVEL,)


@pytest.mark.parametrize("level", ["PATIENT", "STUDY ", " SERIES", "IMAGE\0"])
def test_the_level_is_read_without_padding(level: str) -> None:
    assert find(level, PATIENT_ROOT).level is Level[level.strip(" \0")]


@pytest.mark.parametrize(
    ("model", "level", "always"),
    [
        (PATIENT_ROOT, "PATIENT", ["PatientID"]),
        (PATIENT_ROOT, "STUDY", ["PatientID", "StudyInstanceUID"]),
        (STUDY_ROOT, "STUDY", ["StudyInstanceUID"]),
        (STUDY_ROOT, "SERIES", ["StudyInstanceUID", "SeriesInstanceUID"]),
        (PATIENT_ROOT, "IMAGE", ["SOPInstanceUID", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"]),
    ],
)
def test_unique_keys_are_always_answered(model: InformationModel, level: str, always: list[str]) -> None:
    """C.4.1.1.3.2: the unique keys of the level and of those above it, in tag order."""
    assert [attribute.keyword for attribute in find(level, model).returned] == always


def test_every_known_key_is_answered_in_tag_order() -> None:
    query = find("SERIES", PatientName="", Modality="CT", StudyDescription="*", NumberOfStudyRelatedSeries="")
    assert [attribute.keyword for attribute in query.returned] == [
        "Modality",
        "StudyDescription",
        "PatientName",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "NumberOfStudyRelatedSeries",
    ]
    assert [key.attribute.keyword for key in query.keys] == ["Modality"]
    assert query.unsupported == ()


def test_keys_below_the_level_are_not_supported() -> None:
    query = find("STUDY", Modality="CT", SOPInstanceUID="not a UID", PatientID="P1")
    assert query.unsupported == (BY_KEYWORD["SOPInstanceUID"].tag, BY_KEYWORD["Modality"].tag)
    assert [key.attribute.keyword for key in query.keys] == ["PatientID"]
    assert [attribute.keyword for attribute in query.returned] == ["PatientID", "StudyInstanceUID"]


@pytest.mark.parametrize(("text", "is_unmatched"), [("3", True), ("1\\2", True), (None, False), (" ", False)])
def test_a_count_is_answered_and_its_value_is_not_matched(text: str | None, is_unmatched: bool) -> None:
    """C.4.1.1.4: not supported for matching, 0xFF01."""
    count = BY_KEYWORD["NumberOfStudyRelatedInstances"]
    query = parse(identifier("STUDY", other={count.tag: ("LO", text)}), EXPLICIT_LITTLE, STUDY_ROOT)
    assert query.keys == ()
    assert count in query.returned
    assert query.unmatched == ((count.tag,) if is_unmatched else ())
    assert query.unsupported == query.unsupported_items == ()


def test_unknown_keys_are_not_supported_but_steering_elements_are() -> None:
    steering: Other = {
        CHARACTER_SET: ("CS", "ISO_IR 100"),
        0x00080054: ("AE", None),
        0x00080056: ("CS", None),
        0x00080201: ("SH", "+0100"),
    }
    unknown: Other = {0x00091001: ("LO", "x"), 0x00404033: ("SQ", None), 0x00180050: ("DS", None)}
    query = parse(identifier("STUDY", other=steering | unknown), EXPLICIT_LITTLE, STUDY_ROOT)
    assert query.unsupported == (0x00091001, 0x00180050, 0x00404033)
    assert query.character_sets == ("ISO_IR 100",)
    assert query.asks_retrieve_ae_title
    assert query.asks_instance_availability
    plain = find("STUDY")
    assert not plain.asks_retrieve_ae_title
    assert not plain.asks_instance_availability
    assert plain.unsupported == plain.character_sets == ()


def test_group_lengths_and_stray_delimiters_are_no_keys() -> None:
    data = _explicit(0x00080000, b"UL", b"\x0e\0\0\0") + _explicit(LEVEL, b"CS", b"STUDY ")
    data += _explicit(0x00090000, b"UL", b"\0\0\0\0") + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    assert parse(data, EXPLICIT_LITTLE, STUDY_ROOT).unsupported == ()


@pytest.mark.parametrize(
    ("model", "level", "values", "expected"),
    [
        # C.4.1.2.2.1: hierarchical is one value of each unique key above the level
        (STUDY_ROOT, "STUDY", {}, False),
        (STUDY_ROOT, "SERIES", {"StudyInstanceUID": "1.2"}, False),
        (STUDY_ROOT, "SERIES", {}, True),
        (STUDY_ROOT, "SERIES", {"StudyInstanceUID": ""}, True),
        (STUDY_ROOT, "SERIES", {"StudyInstanceUID": "1.2\\1.3"}, True),
        (STUDY_ROOT, "IMAGE", {"StudyInstanceUID": "1.2"}, True),
        (STUDY_ROOT, "IMAGE", {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.3"}, False),
        (PATIENT_ROOT, "PATIENT", {}, False),
        (PATIENT_ROOT, "STUDY", {"PatientID": "P1"}, False),
        (PATIENT_ROOT, "STUDY", {"PatientID": "P*"}, True),
        (PATIENT_ROOT, "SERIES", {"StudyInstanceUID": "1.2"}, True),
    ],
)
def test_relational(model: InformationModel, level: str, values: dict[str, str], expected: bool) -> None:
    assert find(level, model, **values).is_relational is expected
    own = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}.get(
        level, "PatientID"
    )
    retrieve = (
        parse_retrieve(identifier(level, **{own: "1"} | values), EXPLICIT_LITTLE, model) if values else None
    )
    assert retrieve is None or retrieve.is_relational is expected


@pytest.mark.parametrize(
    ("sets", "raw", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
        ("ISO_IR 192", "Müller^Jürgen".encode(), "Müller^Jürgen"),
        ("ISO_IR 144", "Иванов".encode("iso8859_5"), "Иванов"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
    ],
)
def test_text_is_read_in_the_character_set_of_the_identifier(sets: str, raw: bytes, name: str) -> None:
    raw += b" " * (len(raw) % 2)
    data = _explicit(CHARACTER_SET, b"CS", sets.encode() + b" " * (len(sets) % 2))
    data += _explicit(LEVEL, b"CS", b"STUDY ") + _explicit(0x00100010, b"PN", raw)
    query = parse(data, EXPLICIT_LITTLE, STUDY_ROOT)
    assert query.keys[0].matching == SingleValue(name)
    assert query.character_sets == tuple(sets.split("\\"))


@pytest.mark.parametrize(
    ("said", "rule", "meant"),
    [
        ("", CharacterSetRule(default=("ISO_IR 144",)), ("ISO_IR 144",)),
        ("ISO_IR 144", CharacterSetRule(default=("ISO_IR 100",)), ("ISO_IR 144",)),
        ("ISO_IR 100", CharacterSetRule(("ISO_IR 144",)), ("ISO_IR 144",)),
    ],
)
@pytest.mark.parametrize("understand", [parse, parse_retrieve])
def test_the_requesters_rule_decides_what_text_is_read_in(
    said: str, rule: CharacterSetRule, meant: tuple[str, ...], understand: Callable[..., Query]
) -> None:
    data = _explicit(CHARACTER_SET, b"CS", said.encode()) + _explicit(LEVEL, b"CS", b"PATIENT ")
    data += _explicit(0x00100020, b"LO", "Иванов".encode("iso8859_5"))
    query = understand(data, EXPLICIT_LITTLE, PATIENT_ROOT, rule=rule)
    assert (query.keys[0].matching, query.character_sets) == (SingleValue("Иванов"), meant)


@pytest.mark.parametrize(
    ("rule", "name"), [(AS_SAID, "Müller"), (CharacterSetRule(("ISO_IR 144",)), "Mќller")]
)
def test_an_item_has_its_own_character_set_unless_it_is_overridden(rule: CharacterSetRule, name: str) -> None:
    own = _explicit(CHARACTER_SET, b"CS", b"ISO_IR 100") + _explicit(0x00400009, b"SH", b"M\xfcller")
    one = struct.pack("<HHI", 0xFFFE, 0xE000, len(own)) + own
    data = _explicit(LEVEL, b"CS", b"SERIES")
    data += struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, len(one)) + one
    (key,) = parse(data, EXPLICIT_LITTLE, STUDY_ROOT, rule=rule).keys
    assert isinstance(key.matching, Items)
    assert key.matching.keys[0].matching == SingleValue(name)


def test_text_is_composed_before_it_is_compared() -> None:
    data = _explicit(CHARACTER_SET, b"CS", b"ISO_IR 192") + _explicit(LEVEL, b"CS", b"STUDY ")
    data += _explicit(0x00081030, b"LO", unicodedata.normalize("NFD", "Sägen").encode())
    assert parse(data, EXPLICIT_LITTLE, STUDY_ROOT).keys[0].matching == SingleValue("Sägen")


def test_what_belongs_to_the_default_repertoire_is_not_read_otherwise() -> None:
    """PS3.5 6.1.2.3: (0008,0005) has no effect on CS."""
    data = _explicit(CHARACTER_SET, b"CS", b"ISO_IR 192") + _explicit(LEVEL, b"CS", b"SERIES")
    data += _explicit(0x00080060, b"CS", "Ä".encode())
    assert parse(data, EXPLICIT_LITTLE, STUDY_ROOT).keys[0].matching == SingleValue("Ã\x84")


def test_a_character_set_without_bounds_is_refused() -> None:
    with pytest.raises(InvalidIdentifier) as raised:
        parse(identifier("STUDY", other={CHARACTER_SET: ("CS", "\\" * 300)}), EXPLICIT_LITTLE, STUDY_ROOT)
    assert raised.value.offending == (CHARACTER_SET,)


def test_a_number_of_odd_length_is_refused() -> None:
    data = _explicit(LEVEL, b"CS", b"IMAGE ") + _explicit(0x00280010, b"US", b"\1\2\3")
    with pytest.raises(InvalidIdentifier, match="16-bit"):
        parse(data, EXPLICIT_LITTLE, STUDY_ROOT)


def test_a_rule_of_thumb_for_careless_senders_holds_for_identifiers_too() -> None:
    """Implicit VR where Explicit was negotiated is understood, as in stored data sets."""
    data = encode_identifier({LEVEL: ("CS", "STUDY"), 0x00100020: ("LO", "P1")}, IMPLICIT_LITTLE)
    assert parse(data, EXPLICIT_LITTLE, STUDY_ROOT).keys[0].matching == SingleValue("P1")


# C-MOVE and C-GET


@pytest.mark.parametrize(
    ("model", "level", "values", "expected"),
    [
        (PATIENT_ROOT, "PATIENT", {"PatientID": "P1"}, {"PatientID": SingleValue("P1")}),
        (
            PATIENT_ROOT,
            "PATIENT",
            {"PatientID": "P1", "IssuerOfPatientID": "A"},
            {"PatientID": SingleValue("P1"), "IssuerOfPatientID": SingleValue("A")},
        ),
        (
            PATIENT_ROOT,
            "PATIENT",
            {"PatientID": "P1", "IssuerOfPatientID": "*"},
            {"PatientID": SingleValue("P1")},
        ),
        (STUDY_ROOT, "STUDY", {"StudyInstanceUID": "1.2"}, {"StudyInstanceUID": SingleValue("1.2")}),
        (
            STUDY_ROOT,
            "STUDY",
            {"StudyInstanceUID": "1.2\\1.3"},
            {"StudyInstanceUID": ValueList(("1.2", "1.3"))},
        ),
        # all but unique keys is ignored, even nonsense
        (
            STUDY_ROOT,
            "STUDY",
            {"StudyInstanceUID": "1.2", "PatientID": "P1", "StudyDate": "nonsense", "Modality": "CT"},
            {"StudyInstanceUID": SingleValue("1.2")},
        ),
        (
            STUDY_ROOT,
            "STUDY",
            {"StudyInstanceUID": "1.2", "IssuerOfPatientID": "A*"},
            {"StudyInstanceUID": SingleValue("1.2")},
        ),
        # higher unique keys count where they are given
        (
            PATIENT_ROOT,
            "IMAGE",
            {
                "PatientID": "P*",
                "StudyInstanceUID": "",
                "SeriesInstanceUID": "1.2.3",
                "SOPInstanceUID": "1.2.3.4",
            },
            {
                "SOPInstanceUID": SingleValue("1.2.3.4"),
                "PatientID": Wildcard("P*"),
                "SeriesInstanceUID": SingleValue("1.2.3"),
            },
        ),
    ],
)
def test_retrieve(
    model: InformationModel, level: str, values: dict[str, str], expected: dict[str, Matching]
) -> None:
    query = parse_retrieve(identifier(level, **values), EXPLICIT_LITTLE, model)
    assert {key.attribute.keyword: key.matching for key in query.keys} == expected
    assert query.level is Level[level]
    assert query.returned == query.unsupported == ()


@pytest.mark.parametrize(
    ("model", "level", "keyword", "text"),
    [
        (PATIENT_ROOT, "PATIENT", "PatientID", None),
        (PATIENT_ROOT, "PATIENT", "PatientID", " "),
        (PATIENT_ROOT, "PATIENT", "PatientID", "*"),
        (PATIENT_ROOT, "PATIENT", "PatientID", "P?"),
        (PATIENT_ROOT, "PATIENT", "PatientID", "P1\\P2"),
        (STUDY_ROOT, "STUDY", "StudyInstanceUID", None),
        (STUDY_ROOT, "STUDY", "StudyInstanceUID", "\\"),
        (STUDY_ROOT, "SERIES", "SeriesInstanceUID", None),
        (PATIENT_ROOT, "IMAGE", "SOPInstanceUID", None),
    ],
)
def test_a_retrieve_never_means_everything(
    model: InformationModel, level: str, keyword: str, text: str | None
) -> None:
    others = {"PatientName": "DOE", "IssuerOfPatientID": "A"}
    for values in ({}, others) if text is None else ({keyword: text},):
        with pytest.raises(InvalidIdentifier) as raised:
            parse_retrieve(identifier(level, **values), EXPLICIT_LITTLE, model)
        assert raised.value.offending == (BY_KEYWORD[keyword].tag,)


@pytest.mark.parametrize("text", ["*", "1.2.*", "1.2.3\\../../etc", "1.2.3\\*"])
def test_a_retrieve_takes_uids_only(text: str) -> None:
    with pytest.raises(InvalidUID) as raised:
        parse_retrieve(identifier("STUDY", StudyInstanceUID=text), EXPLICIT_LITTLE, STUDY_ROOT)
    assert raised.value.offending == (BY_KEYWORD["StudyInstanceUID"].tag,)


def test_a_retrieve_by_a_pattern_of_issuers_is_refused() -> None:
    with pytest.raises(InvalidIdentifier) as raised:
        parse_retrieve(
            identifier("PATIENT", PatientID="P1", IssuerOfPatientID="A*"), EXPLICIT_LITTLE, PATIENT_ROOT
        )
    assert raised.value.offending == (BY_KEYWORD["IssuerOfPatientID"].tag,)


# Properties and hostile bytes


@given(queries(), st.sampled_from(SYNTAXES))
def test_a_query_survives_its_encoding(query: Query, transfer_syntax_uid: str) -> None:
    assert understood(query, transfer_syntax_uid) == query


@given(queries())
def test_a_query_survives_deflation(query: Query) -> None:
    deflater = zlib.compressobj(wbits=-15)
    data = deflater.compress(encode_query(query)) + deflater.flush()
    data += b"\0" * (len(data) % 2)
    match_case = all_match_case(query.keys)
    assert parse(data, DEFLATED, query.model, options=query.options, match_case=match_case) == query


@given(st.binary(max_size=300), st.sampled_from((*SYNTAXES, DEFLATED)), st.sampled_from(InformationModel))
def test_arbitrary_bytes_raise_only_request_errors(data: bytes, syntax: str, model: InformationModel) -> None:
    for understand in (parse, parse_retrieve):
        try:
            understand(data, syntax, model)
        except RequestError:
            pass


@given(queries(), st.sampled_from(SYNTAXES), negotiated(), st.data())
def test_damaged_identifiers_raise_only_request_errors(
    query: Query, syntax: str, options: Options, data: st.DataObject
) -> None:
    encoded = bytearray(encode_query(query, syntax))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    del encoded[data.draw(st.integers(1, len(encoded))) :]
    for understand in (parse, parse_retrieve):
        try:
            understand(bytes(encoded), syntax, query.model, options=options)
        except RequestError:
            pass


@given(
    st.dictionaries(st.sampled_from(sorted(BY_KEYWORD)), st.binary(max_size=20), max_size=6),
    st.binary(max_size=12),
    negotiated(),
)
def test_arbitrary_values_raise_only_request_errors(
    values: dict[str, bytes], character_set: bytes, options: Options
) -> None:
    data = _explicit(CHARACTER_SET, b"CS", character_set) + _explicit(LEVEL, b"CS", b"IMAGE ")
    for keyword, value in values.items():
        data += _explicit(BY_KEYWORD[keyword].tag, BY_KEYWORD[keyword].vr.encode(), value)
    try:
        parse(data, EXPLICIT_LITTLE, PATIENT_ROOT, options=options)
    except RequestError:
        pass


def _explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def _implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def _nested(depth: int, *, explicit: bool, has_length: bool) -> bytes:
    """Return a sequence that many levels deep."""
    end = b"" if has_length else _implicit(0xFFFEE00D, b"")
    close = b"" if has_length else _implicit(0xFFFEE0DD, b"")
    data = b""
    for _ in range(depth):
        item = _implicit(0xFFFEE000, data + end, None if has_length else 0xFFFFFFFF) + close
        length = len(item) if has_length else 0xFFFFFFFF
        vr = b"SQ\0\0" if explicit else b""
        data = struct.pack("<HH", 0x0040, 0x0275) + vr + struct.pack("<I", length) + item
    return data


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("has_length", [True, False])
def test_nesting_is_bounded(explicit: bool, has_length: bool) -> None:
    """A thousand levels cost neither recursion nor more than linear time."""
    syntax = EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
    level = _explicit(LEVEL, b"CS", b"STUDY ") if explicit else _implicit(LEVEL, b"STUDY ")
    shallow = parse(level + _nested(64, explicit=explicit, has_length=has_length), syntax, STUDY_ROOT)
    assert shallow.unsupported == (0x00400275,)
    for depth in (65, 1_000):
        with pytest.raises(UnreadableDataSet, match="64 levels"):
            parse(level + _nested(depth, explicit=explicit, has_length=has_length), syntax, STUDY_ROOT)


def test_a_megabyte_in_a_key_is_refused_soon() -> None:
    started = time.monotonic()
    for value in (
        b"x" * 1_000_000,
        b"*" * 999_999 + b"?",
        b"?*" * 500_000,
        b"^=" * 500_000,
        b"\\*x" * 333_333,
    ):
        for tag in (0x00100010, 0x00100020, 0x00104000, 0x0020000D, 0x00080061, 0x00200013, 0x00080020):
            data = _implicit(LEVEL, b"IMAGE ") + _implicit(tag, value)
            try:
                parse(data, IMPLICIT_LITTLE, PATIENT_ROOT)
            except RequestError:
                pass
    assert time.monotonic() - started < 35  # 35 of them, a second each; some tens of milliseconds are usual


def test_padding_of_a_megabyte_is_no_key() -> None:
    data = _implicit(LEVEL, b"STUDY ") + _implicit(0x00100020, b" " * 1_000_000)
    assert parse(data, IMPLICIT_LITTLE, STUDY_ROOT).keys == ()


def test_a_thousand_uids_are_a_list() -> None:
    uids = [f"1.2.826.0.1.3680043.8.498.{number}" for number in range(1_000)]
    query = find("STUDY", StudyInstanceUID="\\".join(uids))
    assert query.keys[0].matching == ValueList(tuple(uids))


def test_a_deflate_bomb_is_refused() -> None:
    deflater = zlib.compressobj(wbits=-15)
    bomb = deflater.compress(_explicit(LEVEL, b"CS", b"STUDY ") + b"\0" * (64 << 20)) + deflater.flush()
    with pytest.raises(UnreadableDataSet):
        parse(bomb, DEFLATED, STUDY_ROOT)
