"""Attribute matching, rule by rule (PS3.4 C.2.2.2)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.matching import matches, number, record_matches, wildcard_matches
from pacsnode.dicom.query import (
    InformationModel,
    Key,
    Matching,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
)
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


def test_a_hostile_pattern_costs_little() -> None:
    assert not wildcard_matches("*a" * 200 + "b", "a" * 2000)


def test_the_strategies_hit_and_miss() -> None:
    """The property tests that use them would prove nothing otherwise."""
    seen = {True: 0, False: 0}

    @settings(max_examples=500, derandomize=True)
    @given(queries(max_keys=1).filter(lambda query: query.keys), records(computed=True))
    def count(query: Query, record: dict[str, str]) -> None:
        seen[record_matches(query, record)] += 1

    count()
    assert min(seen.values()) >= 3
