"""Conditions bind their values, whatever those are, and count no parameters."""

import sqlite3

import pytest

from pacsnode.dicom.attributes import ATTRIBUTES, BY_KEYWORD
from pacsnode.dicom.charset import folded
from pacsnode.dicom.matching import matches, number
from pacsnode.dicom.query import Key, Matching, Range, SingleValue, ValueList, Wildcard, Words
from pacsnode.errors import InvalidUID
from pacsnode.index import schema
from pacsnode.index.columns import as_number
from pacsnode.index.conditions import condition
from pacsnode.index.fragments import as_glob, in_blobs, in_numbers
from pacsnode.index.functions import FUNCTIONS
from pacsnode.index.leading import driver_of

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
    ("pattern", "text", "matches"),
    [
        ("a[b]*", "a[b]c", True),
        ("a[b]*", "abc", False),
        ("*]", "a]", True),
        ("[*", "[", True),
        ("[^a]?", "[^a]b", True),
        ("?", "山", True),
        ("*%_*", "a%_b", True),
        ("*%_*", "axyb", False),
        ("A*", "a", False),
    ],
)
def test_glob_is_the_wildcard_match(pattern: str, text: str, matches: bool) -> None:
    connection = sqlite3.connect(":memory:")
    assert connection.execute("SELECT ? GLOB ?", (text, as_glob(pattern))).fetchone() == (matches,)
    connection.close()


@pytest.mark.parametrize("count", [1, 2, 1000, 40_000])
def test_lists_of_any_length_are_bound(count: int) -> None:
    connection = sqlite3.connect(":memory:")
    blobs = [number.to_bytes(1 + number % 9, "big") for number in range(256)] * (count // 256) + [b"\x01\x02"]
    found = in_blobs("x", blobs)
    assert connection.execute(
        f"SELECT {found.sql} FROM (SELECT x'0102' AS x)", found.parameters
    ).fetchone() == (1,)
    missed = connection.execute(f"SELECT {found.sql} FROM (SELECT x'0103' AS x)", found.parameters)
    assert missed.fetchone() == (0,)
    numbers = in_numbers("x", list(range(count)))
    assert connection.execute(
        f"SELECT {numbers.sql} FROM (SELECT 0 AS x)", numbers.parameters
    ).fetchone() == (1,)
    assert len(numbers.parameters) == 1
    connection.close()


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("a", "b"), ("ab", "ac"), ("a\ud7ff", "a\ue000"), ("a\U0010ffff", "b"), ("é", "ê")],
)
def test_the_end_of_a_prefix_is_the_next_text(prefix: str, end: str) -> None:
    driver = driver_of(Key(BY_KEYWORD["PatientID"], Wildcard(f"{prefix}*")))
    assert driver is not None
    assert driver.condition.parameters == (prefix.rstrip("\U0010ffff"), end)


def test_a_prefix_of_nothing_leads_nowhere() -> None:
    assert driver_of(Key(BY_KEYWORD["PatientID"], Wildcard("\U0010ffff*"))) is None


def holds(keyword: str, matching: Matching, stored: str) -> bool:
    """Return whether the condition holds for a stored value, by SQLite alone."""
    attribute = BY_KEYWORD[keyword]
    fragment = condition(Key(attribute, matching))
    connection = sqlite3.connect(":memory:")
    for name, (parameters, function) in FUNCTIONS.items():
        connection.create_function(name, parameters, function)
    table, name = schema.matched(attribute).split(".")
    connection.execute(f"CREATE TABLE {table} ({name})")
    kept = as_number(stored)[0] if attribute.vr == "IS" else stored
    connection.execute(f"INSERT INTO {table} VALUES (?)", (kept,))
    (found,) = connection.execute(
        f"SELECT coalesce({fragment.sql}, 0) FROM {table}", fragment.parameters
    ).fetchone()
    connection.close()
    assert bool(found) is matches(Key(attribute, matching), stored)
    return bool(found)


@pytest.mark.parametrize(
    "stored",
    [
        "20200230",
        "20190229",
        "20201301",
        "00000101",
        "20200100",
        "2020011",
        "202001150",
        "2020",
        "UNKNOWN",
        "99999999",
    ],
)
def test_what_is_no_date_is_in_no_range(stored: str) -> None:
    for matching in (Range("19000101", None), Range(None, "99991231"), Range("00010101", "99991231")):
        assert not holds("StudyDate", matching, stored)


@pytest.mark.parametrize("stored", ["20200229", "00010101", "99991231", "20200101"])
def test_what_is_a_date_is_in_its_range(stored: str) -> None:
    assert holds("StudyDate", Range(stored, stored), stored)
    assert holds("StudyDate", Range(stored, None), stored)
    assert holds("StudyDate", Range(None, stored), stored)


@pytest.mark.parametrize(
    "stored",
    ["24", "1060", "103061", "1", "103", "103000.", "103000.1234567", "103000.x", "UNKNOWN", "240000"],
)
def test_what_is_no_time_is_in_no_range(stored: str) -> None:
    for matching in (Range("00", None), Range(None, "235960"), Range("00", "235960.999999")):
        assert not holds("StudyTime", matching, stored)


@pytest.mark.parametrize(
    ("low", "high", "stored", "found"),
    [
        ("10", None, "10", True),
        ("1030", "1030", "103059.999999", True),
        ("1030", "1030", "1031", False),
        ("11", None, "105960", True),
        (None, "105959", "105960", False),
        (None, "23", "235960", False),
        ("103000.25", "103000.25", "103000.250001", True),
        ("103000.25", "103000.25", "103000.26", False),
        ("103000.25", "103000.25", "103000.25", True),
        ("00", "23", "00", True),
    ],
)
def test_times_are_instants(low: str | None, high: str | None, stored: str, found: bool) -> None:
    assert holds("StudyTime", Range(low, high), stored) is found


@pytest.mark.parametrize(
    ("wanted", "stored", "found"),
    [
        ("yamada^taro", "YAMADA^TARO=山田^太郎", True),
        ("yamada^taro=山田^太郎", "YAMADA^TARO=山田^太郎", True),
        ("山田^太郎", "YAMADA^TARO=山田^太郎", True),
        ("yamada", "YAMADA^TARO=山田^太郎", False),
        ("yamada^taro", "YAMADA^TARO^X", False),
    ],
)
def test_a_name_matches_whole_or_by_its_first_group(wanted: str, stored: str, found: bool) -> None:
    assert holds("PatientName", SingleValue(folded(wanted)), folded(stored)) is found


@pytest.mark.parametrize(
    ("wanted", "stored", "found"),
    [("01", "1", True), ("+1", "1", True), ("1", "10", False), ("1A", "1A", True)],
)
def test_numbers_are_compared_as_numbers(wanted: str, stored: str, found: bool) -> None:
    assert holds("SeriesNumber", SingleValue(wanted), stored) is found
