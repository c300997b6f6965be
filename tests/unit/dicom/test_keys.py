"""What a key asks for where something was negotiated, and the bounds of what it may ask (PS3.4 C.2.2.2, C.5.1.1)."""

import time

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD, STANDARD
from pacsnode.dicom.keys import (
    EMPTY_VRS,
    MAX_ALTERNATIVES,
    MAX_COMPARED,
    MAX_WILDCARDS,
    check_order,
    matching_of,
)
from pacsnode.dicom.names import MAX_WORDS
from pacsnode.dicom.query import (
    BASELINE,
    AllOf,
    AnyOf,
    Empty,
    Matching,
    Options,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)
from pacsnode.errors import InvalidIdentifier, InvalidUID

EMPTY_VALUE, MULTIPLE, FUZZY = (
    Options(empty_value=True),
    Options(multiple_value=True),
    Options(fuzzy_names=True),
)


def asked(
    keyword: str, text: str, options: Options = BASELINE, timezone: int | None = None
) -> Matching | None:
    matching = matching_of(BY_KEYWORD[keyword], text, options, timezone)
    check_order(BY_KEYWORD[keyword], matching)
    return matching


@pytest.mark.parametrize(
    "keyword",
    [
        "PatientSex",  # CS
        "PatientID",  # LO
        "PatientComments",  # LT
        "PatientName",  # PN
        "AccessionNumber",  # SH
        "InstitutionAddress",  # ST
        "StrainDescription",  # UC
        "ReasonForVisit",  # UT
        "StudyDate",  # DA
        "StudyTime",  # TM
        "AcquisitionDateTime",  # DT
    ],
)
def test_two_quotation_marks_ask_for_no_value_where_that_was_negotiated(keyword: str) -> None:
    """C.2.2.2.7; padding is none."""
    assert BY_KEYWORD[keyword].vr in EMPTY_VRS
    assert asked(keyword, '""', EMPTY_VALUE) == Empty()
    assert asked(keyword, '"" ', EMPTY_VALUE) == Empty()


@pytest.mark.parametrize("keyword", ["PatientSex", "PatientID", "PatientComments", "PatientName"])
def test_two_quotation_marks_are_text_where_it_was_not(keyword: str) -> None:
    """C.2.2.2.7."""
    assert asked(keyword, '""') == SingleValue('""')
    for options in (MULTIPLE, Options(relational=True, timezone_adjustment=True)):
        assert asked(keyword, '""', options) == SingleValue('""')


@pytest.mark.parametrize(
    ("keyword", "options"),
    [
        ("StudyDate", BASELINE),
        ("StudyTime", BASELINE),
        ("AcquisitionDateTime", BASELINE),
        # not among the VRs of C.2.2.2.7
        ("InstanceNumber", EMPTY_VALUE),
        ("PatientWeight", EMPTY_VALUE),
    ],
)
def test_two_quotation_marks_are_no_date_and_no_number(keyword: str, options: Options) -> None:
    with pytest.raises(InvalidIdentifier) as raised:
        asked(keyword, '""', options)
    assert raised.value.offending == (BY_KEYWORD[keyword].tag,)


def test_two_quotation_marks_are_no_uid() -> None:
    with pytest.raises(InvalidUID):
        asked("StudyInstanceUID", '""', EMPTY_VALUE)


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        # C.2.2.2.8: all of them, in an attribute with a VM of more than 1, of certain VRs
        ("ModalitiesInStudy", "CT\\PT", AllOf((SingleValue("CT"), SingleValue("PT")))),
        ("OtherPatientIDs", "A\\B\\A", AllOf((SingleValue("A"), SingleValue("B")))),
        ("OtherPatientNames", "A\\B", AllOf((SingleValue("A"), SingleValue("B")))),
        ("PatientTelephoneNumbers", "1\\2", AllOf((SingleValue("1"), SingleValue("2")))),
        ("ModalitiesInStudy", "CT\\CT", SingleValue("CT")),
        ("ModalitiesInStudy", "CT\\", SingleValue("CT")),
        ("ModalitiesInStudy", "C*", Wildcard("C*")),  # one value may be a pattern
        # the others: any of them, as without it
        ("Modality", "CT\\PT", ValueList(("CT", "PT"))),
        ("Modality", "C*\\PT", AnyOf((Wildcard("C*"), SingleValue("PT")))),
        ("OtherStudyNumbers", "1\\2", ValueList(("1", "2"))),  # IS is no VR of C.2.2.2.8
        ("SOPClassesInStudy", "1.2\\1.3", ValueList(("1.2", "1.3"))),  # C.2.2.2.2
        ("StudyDate", "20200101\\20200102", ValueList(("20200101", "20200102"))),
    ],
)
def test_several_values_where_that_was_negotiated(keyword: str, text: str, expected: Matching) -> None:
    assert asked(keyword, text, MULTIPLE) == expected


@pytest.mark.parametrize("text", ["CT\\P*", "*\\CT", "?T\\PT"])
def test_several_values_have_no_wildcards_where_that_was_negotiated(text: str) -> None:
    """C.2.2.2.8: Key Attribute Values shall not include wild cards."""
    with pytest.raises(InvalidIdentifier, match="wildcards"):
        asked("ModalitiesInStudy", text, MULTIPLE)


def test_no_value_among_several() -> None:
    assert asked("Modality", 'CT\\""', EMPTY_VALUE) == AnyOf((SingleValue("CT"), Empty()))
    assert asked("StudyDate", '20200101\\""', EMPTY_VALUE) == AnyOf((SingleValue("20200101"), Empty()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # C.2.2.2.1.1: folded words, whatever stands between them
        ("Smith^Mary", ("smith", "mary")),
        ("Mary Smith", ("mary", "smith")),
        ("Smith, Mary", ("smith", "mary")),
        ("MÜLLER-Lüdenscheidt^Jürgen", ("muller", "ludenscheidt", "jurgen")),
        ("O'Brien^Pat", ("obrien", "pat")),
        ("Yamada^Taro=山田^太郎", ("yamada", "taro", "山田", "太郎")),
        ("smi*^m?r*y", ("smi", "m?r*y")),
        ("*mith", ("*mith",)),
        ("Smith^^^Dr^", ("smith", "dr")),
        ("Smith^Smith", ("smith",)),
    ],
)
def test_a_fuzzy_name(text: str, words: tuple[str, ...]) -> None:
    assert asked("PatientName", text, FUZZY) == Words(words)
    assert isinstance(asked("PatientName", text), SingleValue | Wildcard)


@pytest.mark.parametrize("text", ["*", "^", "*^*", "=*=", ", .", "'"])
def test_a_fuzzy_name_without_words_is_universal(text: str) -> None:
    assert asked("PatientName", text, FUZZY) is None


def test_fuzzy_matching_is_about_names_alone() -> None:
    assert asked("PatientID", "Smith^Mary", FUZZY) == SingleValue("Smith^Mary")


def test_several_fuzzy_names() -> None:
    assert asked("PatientName", "Smith\\Doe^J", FUZZY) == AnyOf((Words(("smith",)), Words(("doe", "j"))))
    both = Options(fuzzy_names=True, multiple_value=True)
    assert asked("OtherPatientNames", "Smith\\Doe", both) == AllOf((Words(("smith",)), Words(("doe",))))


@pytest.mark.parametrize(
    ("text", "timezone", "expected"),
    [
        # C.2.2.2.1.3: what names no offset is in that of the request, which is UTC if there is none (its note 1)
        ("20200115103000", None, Range("20200115103000.000000", "20200115103000.999999")),
        ("20200115103000", 60, Range("20200115093000.000000", "20200115093000.999999")),
        ("20200115103000+0000", 60, Range("20200115103000.000000", "20200115103000.999999")),
        ("20200115-", -300, Range("20200115050000.000000", None)),
        ("20200115+0530-20200116", 60, Range("20200114183000.000000", "20200116225959.999999")),
        # nothing goes beyond the calendar
        ("0001-9999", 60, Range("00010101000000.000000", "99991231225959.999999")),
        ("-9999", -60, Range(None, "99991231235959.999999")),
    ],
)
def test_the_zone_of_a_date_and_time(text: str, timezone: int | None, expected: Range) -> None:
    assert asked("AcquisitionDateTime", text, BASELINE, timezone) == expected


@pytest.mark.parametrize(
    "text",
    [
        "20200230",
        "2020-2019",
        "202001151030001",
        "20200115+1500",
        "-",
        "2020-2021-2022",
        "2020*",
        "x" * 10_000,
        "-" * 10_000,
        "2020-" * 20,
    ],
)
def test_what_is_no_date_and_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdentifier) as raised:
        asked("AcquisitionDateTime", text)
    assert raised.value.offending == (BY_KEYWORD["AcquisitionDateTime"].tag,)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("StudyDescription", "*a" * MAX_WILDCARDS),
        ("StudyDescription", "?" * MAX_WILDCARDS),
        ("PatientName", "a*" * MAX_WILDCARDS),
        ("PatientName", "\\".join(f"A{number}" for number in range(MAX_COMPARED))),
        ("InstanceNumber", "\\".join(map(str, range(MAX_COMPARED)))),
        ("Modality", "\\".join(f"A{number}*" for number in range(MAX_ALTERNATIVES))),
        ("StudyTime", "\\".join(f"{10_00_00 + number}" for number in range(60))),
    ],
)
def test_up_to_the_bounds_all_is_understood(keyword: str, text: str) -> None:
    assert asked(keyword, text) is not None


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("StudyDescription", "*a" * (MAX_WILDCARDS + 1)),
        ("StudyDescription", "?" * (MAX_WILDCARDS + 1)),
        ("StudyDescription", "a\\" + "?" * (MAX_WILDCARDS + 1)),
        ("PatientName", "a*" * (MAX_WILDCARDS + 1)),
        ("PatientName", "\\".join(f"A{number}" for number in range(MAX_COMPARED + 1))),
        ("InstanceNumber", "\\".join(map(str, range(MAX_COMPARED + 1)))),
        ("Modality", "\\".join(f"A{number}*" for number in range(MAX_ALTERNATIVES + 1))),
        ("StudyTime", "\\".join(f"{hour:02}{minute:02}" for hour in range(2) for minute in range(40))),
    ],
)
def test_beyond_the_bounds_a_key_is_refused(keyword: str, text: str) -> None:
    with pytest.raises(InvalidIdentifier, match="more than") as raised:
        asked(keyword, text)
    assert raised.value.offending == (BY_KEYWORD[keyword].tag,)


@pytest.mark.parametrize(
    ("text", "reason"), [(" ".join(map(str, range(MAX_WORDS + 1))), "words"), ("?" * 33, "wildcards")]
)
def test_beyond_the_bounds_a_fuzzy_name_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidIdentifier, match=reason):
        asked("PatientName", text, FUZZY)


@pytest.mark.parametrize("options", [BASELINE, FUZZY])
def test_a_name_has_three_component_groups_at_most(options: Options) -> None:
    """PS3.5 6.2.1.2."""
    assert asked("PatientName", "A=B=C", options) is not None
    assert asked("PatientName", "A=B=C==", options) is not None
    for text in ("A=B=C=D", "=" * 9_000 + "A", "a=" * 5_000 + "a"):
        with pytest.raises(InvalidIdentifier, match="more than 3 component groups") as raised:
            asked("PatientName", text, options)
        assert raised.value.offending == (BY_KEYWORD["PatientName"].tag,)


def test_a_list_of_plain_texts_and_of_uids_may_be_long() -> None:
    """They are looked up, not compared one by one."""
    numbers = [f"A{number}" for number in range(5000)]
    assert asked("AccessionNumber", "\\".join(numbers)) == ValueList(tuple(numbers))
    uids = [f"1.2.{number}" for number in range(5000)]
    assert asked("StudyInstanceUID", "\\".join(uids)) == ValueList(tuple(uids))


@pytest.mark.parametrize("text", ["\\" * 200_000, "a\\" * 100_000, "*\\" * 100_000, "-\\" * 100_000])
def test_a_value_of_many_values_costs_little(text: str) -> None:
    one_of_each_vr = {attribute.vr: attribute for attribute in STANDARD.attributes}
    started = time.monotonic()
    for attribute in one_of_each_vr.values():
        try:
            matching_of(attribute, text, Options(True, True, True, True, True, True))
        except (InvalidIdentifier, InvalidUID):
            pass
    assert time.monotonic() - started < 10  # some twenty, a few milliseconds each
