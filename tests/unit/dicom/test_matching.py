"""Attribute matching, rule by rule (PS3.4 C.2.2.2)."""

import json
from collections import Counter
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.matching import (
    matches,
    matching_items,
    number,
    record_matches,
    wildcard_matches,
    without_case,
)
from pacsnode.dicom.query import (
    AllOf,
    AnyOf,
    Empty,
    InformationModel,
    Items,
    Key,
    Matching,
    Moments,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)
from pacsnode.dicom.zones import zone_keyword
from tests.factories_query import queries, records


def hit(keyword: str, matching: Matching, stored: str | None) -> bool:
    return matches(Key(BY_KEYWORD[keyword], matching), stored)


@pytest.mark.parametrize(
    ("keyword", "wanted", "stored", "expected"),
    [
        # C.2.2.2.1: case-sensitive, the whole value
        ("PatientID", "P1", "P1", True),
        ("PatientID", "P1", "p1", False),
        ("PatientID", "P1", "P10", False),
        ("PatientID", "P1", " P1", False),
        ("StudyDescription", "Größe", "Größe", True),
        ("StudyDescription", "Größe", "GRÖSSE", False),
        # nothing is special in a single value
        ("PatientID", "P%", "P1", False),
        ("PatientID", "P_", "P1", False),
        ("PatientID", "P[1]", "P1", False),
        ("PatientID", "x' OR '1'='1", "P1", False),
        ("PatientComments", "a\\b", "a\\b", True),
        ("StudyDescription", 'say "a"', 'say "a"', True),
        # C.2.2.2.1: of a multi-valued attribute any value
        ("ModalitiesInStudy", "SR", "CT\\SR", True),
        ("ModalitiesInStudy", "CT\\SR", "CT\\SR", False),
        ("ModalitiesInStudy", "MR", "CT\\SR", False),
        ("OtherPatientIDs", "B", "A\\\\B", True),
        ("OtherPatientNames", "^", "A\\\\B", False),
        ("Modality", "CT", "CT\\SR", False),
        # PS3.5 6.2: numbers are compared as such
        ("InstanceNumber", "1", "01", True),
        ("InstanceNumber", "+1", "1", True),
        ("InstanceNumber", "1", "10", False),
        ("PatientWeight", "70", "70.0", True),
        ("PatientWeight", "7e1", "70", True),
        ("PatientWeight", "70", "70.5", False),
        ("Rows", "512", "512", True),
        ("InstanceNumber", "one", "one", True),
        ("InstanceNumber", "1", "one", False),
        ("InstanceNumber", "1", "1_", False),
        # PS3.5 6.2, AS: text
        ("PatientAge", "045Y", "45Y", False),
        ("StudyDate", "20200115", "20200115", True),
        ("StudyDate", "20200115", "UNKNOWN", False),
    ],
)
def test_single_value(keyword: str, wanted: str, stored: str, expected: bool) -> None:
    assert hit(keyword, SingleValue(wanted), stored) is expected


@pytest.mark.parametrize(
    ("wanted", "stored", "expected"),
    [
        ("DOE^JOHN", "doe^john", True),  # C.2.2.2.1: PN need not be case-sensitive
        ("müller^jürgen", "MÜLLER^JÜRGEN", True),
        ("DOE^JOHN^^^", "DOE^JOHN", True),  # PS3.5 6.2.1.1: trailing delimiters may be left out
        ("DOE", "DOE^JOHN", False),
        ("YAMADA^TARO", "YAMADA^TARO=山田^太郎=やまだ^たろう", True),  # the first component group alone
        ("YAMADA^TARO=山田^太郎=やまだ^たろう", "YAMADA^TARO=山田^太郎=やまだ^たろう", True),
        # PS3.5 6.2.1.2: any group alone; with `=` group by group, an empty one of the key says nothing
        ("山田^太郎", "YAMADA^TARO=山田^太郎", True),
        ("やまだ^たろう", "YAMADA^TARO=山田^太郎=やまだ^たろう", True),
        ("YAMADA^TARO=山田^太郎", "YAMADA^TARO=山田^太郎=やまだ^たろう", True),
        ("=山田^太郎", "YAMADA^TARO=山田^太郎=やまだ^たろう", True),
        ("==やまだ^たろう", "YAMADA^TARO=山田^太郎=やまだ^たろう", True),
        ("=YAMADA^TARO", "YAMADA^TARO=山田^太郎", False),
        ("YAMADA^TARO=山田^太郎", "YAMADA^TARO", False),
        ("YAMADA^TARO=山田^花子", "YAMADA^TARO=山田^太郎", False),
        ("=山田^太郎", "=山田^太郎", True),
        ("O'BRIEN^PAT", "O'Brien^Pat", True),
        ("^", "=山田^太郎", False),  # an empty group is no name
    ],
)
def test_single_value_of_a_name(wanted: str, stored: str, expected: bool) -> None:
    assert hit("PatientName", SingleValue(wanted), stored) is expected


@pytest.mark.parametrize(
    ("keyword", "wanted", "stored", "expected"),
    [
        ("StudyInstanceUID", ("1.2", "1.3"), "1.3", True),  # C.2.2.2.2
        ("StudyInstanceUID", ("1.2", "1.3"), "1.2.3", False),
        ("SOPClassesInStudy", ("1.2", "1.3"), "1.9\\1.3", True),
        ("ModalitiesInStudy", ("MR", "CT"), "CT\\SR", True),
        ("ModalitiesInStudy", ("MR", "PT"), "CT\\SR", False),
        ("Modality", ("MR", "CT"), "CT", True),
    ],
)
def test_list(keyword: str, wanted: tuple[str, ...], stored: str, expected: bool) -> None:
    assert hit(keyword, ValueList(wanted), stored) is expected


@pytest.mark.parametrize(
    ("keyword", "pattern", "stored", "expected"),
    [
        # C.2.2.2.4: `*` any run, the empty one too, `?` exactly one
        ("PatientID", "P*", "P", True),
        ("PatientID", "P*", "P123", True),
        ("PatientID", "*P", "XP", True),
        ("PatientID", "P?", "P", False),
        ("PatientID", "P?", "P1", True),
        ("PatientID", "P?", "P12", False),
        ("PatientID", "?*", "P", True),
        ("PatientID", "*1*2*", "0102", True),
        ("PatientID", "*1*2*", "0201", False),
        # case-sensitive but for PN
        ("PatientID", "p*", "P1", False),
        ("PatientName", "doe*", "DOE^JOHN", True),
        ("PatientName", "müll?r*", "MÜLLER^JÜRGEN", True),
        # all else is literal
        ("StudyDescription", "100%*", "1000", False),
        ("StudyDescription", "a_*", "abc", False),
        ("StudyDescription", "[ab]*", "a", False),
        ("StudyDescription", "[ab]*", "[ab]c", True),
        ("StudyDescription", "*'*", "it's", True),
        ("PatientComments", "*\\*", "a\\b", True),
        ("StudyDescription", "*?", "a*", True),
        ("StudyDescription", "頭?", "頭部", True),
        ("PatientComments", "*line*", "first\r\nline two", True),
        # of a multi-valued attribute any value, and none across values
        ("ModalitiesInStudy", "C*", "SR\\CT", True),
        ("ModalitiesInStudy", "S*T", "SR\\CT", False),
        ("ModalitiesInStudy", "?", "CT\\SR", False),
        # PN: the whole value, any component group, or group by group
        ("PatientName", "*TARO", "YAMADA^TARO=山田^太郎", True),
        ("PatientName", "*太郎", "YAMADA^TARO=山田^太郎", True),
        ("PatientName", "Y*太郎", "YAMADA^TARO=山田^太郎", True),
        ("PatientName", "山田*", "YAMADA^TARO=山田^太郎", True),
        ("PatientName", "田*", "YAMADA^TARO=山田^太郎", False),
        ("PatientName", "Y*=山*", "YAMADA^TARO=山田^太郎=やまだ^たろう", True),
        ("PatientName", "=*郎", "YAMADA^TARO=山田^太郎=やまだ^たろう", True),
        ("PatientName", "=*郎", "YAMADA^TARO", False),
        ("PatientName", "Y*=?*", "YAMADA^TARO", False),
        ("PatientName", "Y*=*", "YAMADA^TARO", True),  # `*` matches an empty group, too
        # PN: components at the end may be left out
        ("PatientName", "DOE^*", "DOE^JOHN", True),
        ("PatientName", "DOE^*", "DOE", True),
        ("PatientName", "DOE^*^*", "DOE", True),
        ("PatientName", "DOE^J*^*", "DOE^JOHN", True),
        ("PatientName", "DOE^*", "DOERING", False),
        ("PatientName", "DOE^?*", "DOE", False),
    ],
)
def test_wildcard(keyword: str, pattern: str, stored: str, expected: bool) -> None:
    assert hit(keyword, Wildcard(pattern), stored) is expected


@pytest.mark.parametrize(
    ("keyword", "low", "high", "stored", "expected"),
    [
        # C.2.2.2.5: both ends are inclusive, one may be open
        ("StudyDate", "20200114", "20200116", "20200114", True),
        ("StudyDate", "20200114", "20200116", "20200116", True),
        ("StudyDate", "20200114", "20200116", "20200117", False),
        ("StudyDate", "20200114", None, "20200113", False),
        ("StudyDate", "20200114", None, "20991231", True),
        ("StudyDate", None, "20200114", "19000101", True),
        ("StudyDate", None, "20200114", "20200115", False),
        ("StudyDate", "20200116", "20200114", "20200115", False),
        # what is no date is in no range
        ("StudyDate", None, "20200114", "UNKNOWN", False),
        ("StudyDate", None, "20200114", "2020", False),
        ("StudyDate", None, "20200114", "00000000", False),
        ("StudyDate", "20200101", None, "99999999", False),
        ("StudyDate", "20200201", "20200301", "20200230", False),
        # a time of low precision as a key covers its span ...
        ("StudyTime", "10", "10", "103000", True),
        ("StudyTime", "10", "10", "105959.999999", True),
        ("StudyTime", "10", "10", "110000", False),
        ("StudyTime", "10", "11", "115959.999999", True),
        ("StudyTime", "1030", None, "1029", False),
        ("StudyTime", "1030", None, "103000", True),
        ("StudyTime", None, "103000.25", "103000.259999", True),
        ("StudyTime", None, "103000.25", "103000.26", False),
        # ... and a stored one is its first instant
        ("StudyTime", "10", "10", "10", True),
        ("StudyTime", "1000", "1000", "10", True),
        ("StudyTime", "1030", "1030", "10", False),
        ("StudyTime", "22", "02", "23", False),
        ("StudyTime", "00", None, "UNKNOWN", False),
        ("StudyTime", None, "23", "25", False),
    ],
)
def test_range(keyword: str, low: str | None, high: str | None, stored: str, expected: bool) -> None:
    assert hit(keyword, Range(low, high), stored) is expected


@pytest.mark.parametrize("stored", [None, ""])
@pytest.mark.parametrize(
    ("keyword", "matching"),
    [
        ("PatientID", SingleValue("P1")),
        ("PatientID", Wildcard("?*")),
        ("PatientName", Wildcard("*^*")),
        ("ModalitiesInStudy", ValueList(("CT", "MR"))),
        ("StudyDate", Range("19000101", None)),
        ("StudyTime", Range(None, "23")),
        ("InstanceNumber", SingleValue("0")),
    ],
)
def test_an_empty_value_matches_only_universally(
    keyword: str, matching: Matching, stored: str | None
) -> None:
    """C.2.2.2.3: universal matching is the query that has no key for the attribute."""
    assert not hit(keyword, matching, stored)
    query = Query(InformationModel.STUDY_ROOT, Level.STUDY, keys=(), returned=())
    assert record_matches(query, {keyword: stored} if stored is not None else {})


def test_all_keys_must_match() -> None:
    keys = (
        Key(BY_KEYWORD["PatientID"], SingleValue("P1")),
        Key(BY_KEYWORD["StudyDate"], Range("20200101", None)),
    )
    query = Query(InformationModel.STUDY_ROOT, Level.STUDY, keys=keys, returned=())
    assert record_matches(query, {"PatientID": "P1", "StudyDate": "20200115"})
    assert not record_matches(query, {"PatientID": "P1", "StudyDate": "20190115"})
    assert not record_matches(query, {"PatientID": "P2", "StudyDate": "20200115"})
    assert not record_matches(query, {"PatientID": "P1"})


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_0", "0x1", "１", "1 ", "e5", "-", ".", "1e"])
def test_what_python_takes_for_a_number_need_not_be_one(text: str) -> None:
    assert number(text) is None


@given(st.text("ab*?", max_size=8), st.text("ab*?", max_size=8))
def test_wildcards_are_those_of_the_definition(pattern: str, text: str) -> None:
    def defined(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return defined(pattern[1:], text) or (bool(text) and defined(pattern, text[1:]))
        return bool(text) and pattern[0] in ("?", text[0]) and defined(pattern[1:], text[1:])

    assert wildcard_matches(pattern, text) == defined(pattern, text)


@given(st.text("aÄßẞıİǰΣς\u0301\u0345ﬁ", max_size=8))
def test_text_without_case_stays_so(text: str) -> None:
    assert without_case(without_case(text)) == without_case(text)


def test_a_hostile_pattern_costs_little() -> None:
    assert not wildcard_matches("*a" * 200 + "b", "a" * 2000)


def test_the_strategies_hit_and_miss_by_each_rule() -> None:
    """The property tests that use them would prove nothing otherwise."""
    seen: Counter[tuple[type, bool]] = Counter()

    @settings(max_examples=1000, derandomize=True, database=None, phases=[Phase.generate])
    @given(queries(level=Level.IMAGE), records(computed=True))
    def count(query: Query, record: dict[str, str]) -> None:
        for key in query.keys:
            seen[type(key.matching), record_matches(replace(query, keys=(key,)), record)] += 1

    count()
    for rule in get_args(Matching):
        assert seen[rule, True], rule
        assert seen[rule, False], rule


# Empty Value Matching (C.2.2.2.7)


@pytest.mark.parametrize("stored", [None, ""])
@pytest.mark.parametrize("keyword", ["PatientID", "StudyDate", "ModalitiesInStudy", "PatientName"])
def test_no_value_matches_what_is_absent_or_empty(keyword: str, stored: str | None) -> None:
    assert hit(keyword, Empty(), stored)
    assert hit(keyword, AnyOf((SingleValue("20200101"), Empty())), stored)


def test_no_value_matches_no_value_that_is_there() -> None:
    assert not hit("PatientID", Empty(), "P1")
    assert not hit("StudyDate", Empty(), "UNKNOWN")
    assert not hit("PatientID", Empty(), '""')


# Several values (C.2.2.2.8)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [("CT\\PT", True), ("PT\\SR\\CT", True), ("CT", False), ("CT\\SR", False), (None, False)],
)
def test_all_of_several_values(stored: str | None, expected: bool) -> None:
    """Each matches some value, in any order; there may be more (its notes 1 and 2)."""
    assert hit("ModalitiesInStudy", AllOf((SingleValue("CT"), SingleValue("PT"))), stored) is expected


def test_any_of_several_conditions() -> None:
    matching = AnyOf((Wildcard("C*"), SingleValue("MR")))
    assert [hit("Modality", matching, one) for one in ("CT", "MR", "PT", None)] == [True, True, False, False]
    dates = AnyOf((SingleValue("20200101"), Range("20200110", None)))
    assert [hit("StudyDate", dates, one) for one in ("20200101", "20200105", "20200111")] == [
        True,
        False,
        True,
    ]


# Without regard to case


@pytest.mark.parametrize(
    ("keyword", "matching", "stored"),
    [
        ("PatientID", SingleValue("p1"), "P1"),
        ("StudyDescription", SingleValue("GRÖSSE"), "Größe"),
        ("StudyDescription", Wildcard("*KOPF?"), "ct Kopf1"),
        ("OtherPatientIDs", SingleValue("b"), "A\\B"),
        ("Modality", ValueList(("ct", "mr")), "CT"),
        ("PatientComments", Wildcard("*A*"), "bab"),
    ],
)
def test_text_without_regard_to_case(keyword: str, matching: Matching, stored: str) -> None:
    assert matches(Key(BY_KEYWORD[keyword], matching, match_case=False), stored)
    assert not matches(Key(BY_KEYWORD[keyword], matching), stored)


def test_leading_zeros_count_in_text() -> None:
    """PS3.5 6.2, LO and SH: `007` and `7` are different identifiers."""
    for keyword in ("PatientID", "AccessionNumber"):
        assert not hit(keyword, SingleValue("7"), "007")
        assert not hit(keyword, SingleValue("007"), "7")
        assert hit(keyword, SingleValue("007"), "007")


# Dates with times (C.2.2.2.5.3, C.2.2.2.5.4)


@pytest.mark.parametrize(
    ("low", "high", "stored", "expected"),
    [
        ("20200115103000.000000", "20200115103000.999999", "20200115103000", True),
        ("20200115103000.000000", "20200115103000.999999", "20200115113000+0100", True),
        ("20200115103000.000000", "20200115103000.999999", "20200115103000+0100", False),
        (
            "20200115103000.000000",
            "20200115103000.999999",
            "20200115073000-0300",
            True,
        ),  # C.2.2.2.1.3, note 1
        ("20200101000000.000000", None, "2020", True),  # a stored one is its first instant
        ("20200101000000.000001", None, "2020", False),
        (None, "20191231235959.999999", "20200101003000+0100", True),
        (None, "20200115000000.000000", "UNKNOWN", False),
        (None, "20200115000000.000000", "20200230", False),
    ],
)
def test_range_of_date_times(low: str | None, high: str | None, stored: str, expected: bool) -> None:
    assert hit("AcquisitionDateTime", Range(low, high), stored) is expected


def combined(low: str | None, high: str | None, timezone: int | None = None) -> Query:
    key = Key(BY_KEYWORD["StudyDate"], Moments(low, high))
    return Query(InformationModel.STUDY_ROOT, Level.STUDY, keys=(key,), returned=(), timezone=timezone)


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        # the example of C.2.2.2.5.4: from July 5, 10am until July 7, 6pm
        ("20060705", "0959", False),
        ("20060705", "1000", True),
        ("20060705", "235959.999999", True),
        ("20060706", "0300", True),
        ("20060706", None, True),
        ("20060707", "175959.999999", True),
        ("20060707", "1800", True),
        ("20060707", "180001", False),
        ("20060708", "1200", False),
        # without a time it is the beginning of the day
        ("20060705", None, False),
        ("20060707", None, True),
        ("20060706", "UNKNOWN", False),
        (None, "1200", False),
        ("UNKNOWN", "1200", False),
    ],
)
def test_a_date_together_with_its_time(date: str | None, time: str | None, expected: bool) -> None:
    record = {"StudyDate": date, "StudyTime": time}
    query = combined("20060705100000.000000", "20060707180000.000000")
    assert record_matches(query, {keyword: text for keyword, text in record.items() if text}) is expected


def test_a_date_together_with_its_time_has_open_ends() -> None:
    record = {"StudyDate": "20060705", "StudyTime": "1000"}
    assert record_matches(combined("20060705100000.000000", None), record)
    assert not record_matches(combined("20060705100000.000001", None), record)
    assert record_matches(combined(None, "20060705100000.000000"), record)


# Time zones (C.2.2.2.1.3, C.2.2.2.5.4)


def test_a_stored_time_is_brought_into_the_requesters_zone() -> None:
    record = {"StudyDate": "20200114", "StudyTime": "233000", zone_keyword(Level.STUDY): "+0000"}
    day = Key(BY_KEYWORD["StudyDate"], SingleValue("20200115"))
    hour = Key(BY_KEYWORD["StudyTime"], Range("00", "00"))
    query = Query(InformationModel.STUDY_ROOT, Level.STUDY, keys=(day, hour), returned=())
    assert not record_matches(query, record)
    assert not record_matches(replace(query, timezone=0), record)
    assert record_matches(replace(query, timezone=60), record)
    assert not record_matches(replace(query, timezone=120), record)
    moments = combined("20200115003000.000000", "20200115003000.000000", timezone=60)
    assert record_matches(moments, record)
    assert not record_matches(replace(moments, timezone=None), record)


# Sequences (C.2.2.2.6)


CODES = json.dumps(
    [
        {"CodeValue": "T-D1100", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Head"},
        {"CodeValue": "69536005", "CodingSchemeDesignator": "SCT"},
    ]
)


def codes(**matchings: Matching) -> Items:
    items = {one.keyword: one for one in BY_KEYWORD["ProcedureCodeSequence"].items}
    return Items(tuple(Key(items[keyword], matching) for keyword, matching in matchings.items()))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (codes(CodeValue=SingleValue("69536005")), True),
        (codes(CodeValue=SingleValue("69536005"), CodingSchemeDesignator=SingleValue("SCT")), True),
        # all keys match for the same item
        (codes(CodeValue=SingleValue("69536005"), CodingSchemeDesignator=SingleValue("SRT")), False),
        (codes(CodeMeaning=Wildcard("H*")), True),
        (codes(CodeMeaning=Empty()), True),
        (codes(CodeMeaning=Empty(), CodingSchemeDesignator=SingleValue("SRT")), False),
        (codes(CodeValue=ValueList(("1", "T-D1100"))), True),
        (codes(CodeValue=SingleValue("t-d1100")), False),
    ],
)
def test_one_item_matches_all_keys(asked: Items, expected: bool) -> None:
    assert hit("ProcedureCodeSequence", asked, CODES) is expected


@pytest.mark.parametrize("stored", [None, "", "[]"])
def test_no_item_matches_nothing(stored: str | None) -> None:
    assert not hit("ProcedureCodeSequence", codes(CodeMeaning=Empty()), stored)
    assert not hit("ProcedureCodeSequence", codes(CodeValue=SingleValue("1")), stored)


def test_an_item_within_an_item() -> None:
    request = BY_KEYWORD["RequestAttributesSequence"]
    items = {one.keyword: one for one in request.items}
    inner = items["IssuerOfAccessionNumberSequence"]
    local = Key(inner.items[0], SingleValue("HOSPITAL"))
    asked = Items((Key(items["AccessionNumber"], SingleValue("A1")), Key(inner, Items((local,)))))
    stored = [
        {"AccessionNumber": "A1", inner.keyword: [{inner.items[0].keyword: "HOSPITAL"}]},
        {"AccessionNumber": "A2"},
    ]
    assert matches(Key(request, asked), json.dumps(stored))
    stored[0]["AccessionNumber"] = "A3"
    assert not matches(Key(request, asked), json.dumps(stored))


def test_items_that_match_are_answered() -> None:
    """C.2.2.2.6: a sequence of matching items."""
    sequence = BY_KEYWORD["ProcedureCodeSequence"]
    key = Key(sequence, codes(CodingSchemeDesignator=SingleValue("SCT")))
    query = Query(InformationModel.STUDY_ROOT, Level.STUDY, keys=(key,), returned=(sequence,))
    assert [item["CodeValue"] for item in matching_items(query, sequence, CODES)] == ["69536005"]
    assert len(matching_items(replace(query, keys=()), sequence, CODES)) == 2
    assert matching_items(query, sequence, None) == []


# Fuzzy names (C.2.2.2.1.1)


@pytest.mark.parametrize(
    ("words", "stored", "expected"),
    [
        (("smith", "mary"), "SMITH^MARY", True),
        (("smith", "mary"), "Mary^Smith", True),
        (("smith", "mary"), "Mary Smith", True),
        (("smith", "mary"), "Smith, Mary", True),
        (("smi", "m"), "SMITH^MARY", True),
        (("smith", "mary"), "SMITH^JOHN", False),
        (("mith",), "SMITH", False),
        (("*mith",), "SMITH", True),
        (("sm?th",), "SMYTHE", True),
        (("muller",), "MÜLLER^JÜRGEN", True),
        (("山田",), "YAMADA^TARO=山田^太郎", True),
        (("taro", "山"), "YAMADA^TARO=山田^太郎", True),
        (("obrien",), "O'Brien^Pat", True),
        (("a",), "^^", False),
        (("a",), None, False),
    ],
)
def test_fuzzy(words: tuple[str, ...], stored: str | None, expected: bool) -> None:
    assert hit("PatientName", Words(words), stored) is expected


def test_fuzzy_words_are_of_the_same_name() -> None:
    assert hit("OtherPatientNames", Words(("smith", "mary")), "Doe^John\\Smith^Mary")
    assert not hit("OtherPatientNames", Words(("smith", "john")), "Doe^John\\Smith^Mary")
