"""Person names in SQL as in the oracle: whole, by component group, folded; and where to look for them."""

import contextlib
from collections.abc import Iterator

import pytest

from pacsnode.dicom.query import SingleValue, Wildcard, Words
from pacsnode.index.spellings import Beginnings, beginnings
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.holding import holds

NAMES = ("PatientName", "ReferringPhysicianName", "OperatorsName")  # looked up, alone, one of several


@pytest.fixture(scope="module")
def index() -> Iterator[SqliteIndex]:
    with contextlib.closing(SqliteIndex()) as index:
        yield index


@pytest.mark.parametrize("keyword", NAMES)
@pytest.mark.parametrize(
    ("wanted", "stored", "found"),
    [
        ("yamada^taro", "YAMADA^TARO=山田^太郎", True),
        ("yamada^taro=山田^太郎", "YAMADA^TARO=山田^太郎", True),
        ("山田^太郎", "YAMADA^TARO=山田^太郎", True),
        ("=山田^太郎", "YAMADA^TARO=山田^太郎", True),
        ("==やまだ", "YAMADA^TARO=山田^太郎", False),
        ("yamada=", "YAMADA=山田", True),
        ("yamada", "YAMADA^TARO=山田^太郎", False),
        ("yamada^taro", "YAMADA^TARO^X", False),
        ("muller", "MÜLLER", True),
        ('quo"te', 'QUO"TE', True),
        ("a[b]", "A[B]", True),
    ],
)
def test_a_name_is_the_whole_or_its_groups(
    index: SqliteIndex, keyword: str, wanted: str, stored: str, found: bool
) -> None:
    assert holds(index, keyword, SingleValue(wanted), **{keyword: stored}) is found


@pytest.mark.parametrize("keyword", NAMES)
@pytest.mark.parametrize(
    ("pattern", "stored", "found"),
    [
        ("yam*", "YAMADA^TARO=山田^太郎", True),
        ("山*", "YAMADA^TARO=山田^太郎", True),
        ("*太郎", "YAMADA^TARO=山田^太郎", True),
        ("?山*", "YAMADA^TARO=山田^太郎", False),
        ("=?田*", "YAMADA^TARO=山田^太郎", True),
        ("yam*=鈴*", "YAMADA^TARO=山田^太郎", False),
        ("doe^*", "DOE", True),
        ("doe^*", "DOE^JOHN", True),
        ("doe^*", "DOES^JOHN", False),
        ("doe^*^*", "DOE", True),
        ("d[oe]*", "DOE", False),
        ("*\u0308*", "MÜLLER", False),
    ],
)
def test_a_pattern_covers_the_whole_or_a_group(
    index: SqliteIndex, keyword: str, pattern: str, stored: str, found: bool
) -> None:
    assert holds(index, keyword, Wildcard(pattern), **{keyword: stored}) is found


@pytest.mark.parametrize("keyword", NAMES)
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("muller",), True),
        (("jur", "mul"), True),
        (("jur", "maier"), False),
        (("*ller",), True),
        (("ller",), False),
    ],
)
def test_words_begin_words(index: SqliteIndex, keyword: str, words: tuple[str, ...], found: bool) -> None:
    assert holds(index, keyword, Words(words), **{keyword: "Müller^Jürgen"}) is found


def test_words_are_those_of_one_name(index: SqliteIndex) -> None:
    assert not holds(index, "OperatorsName", Words(("doe", "jane")), OperatorsName="DOE^JOHN\\ROE^JANE")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("smith*", Beginnings("smith", "smith")),
        ("SMITH^JOHN", Beginnings("smith^john", "smith^john")),
        ("smith^*", Beginnings("smith", "smith")),
        ("sm?th", Beginnings("sm", "sm")),
        ("smith=山*", Beginnings("smith", None)),
        ("=山*", Beginnings("=山", "山")),
        ("==や*", Beginnings("==や", "や")),
        ("*smith", None),
        ("=*田", None),
        ("?=山", None),
    ],
)
def test_where_names_are_looked_for(pattern: str, found: Beginnings | None) -> None:
    assert beginnings(pattern) == found
