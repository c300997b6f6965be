"""Words of names, and patterns for names (PS3.4 C.2.2.2.1.1, C.2.2.2.4; PS3.5 6.2.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom import names
from pacsnode.dicom.charset import folded

NAMES = st.text("aÄßé 'O^=,.-\\*?山田太が\u0301ﬁＡ＾ｶﾞ・", max_size=20)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DOE^JOHN^^DR", ("doe", "john", "dr")),
        ("Müller^Jürgen", ("muller", "jurgen")),
        ("Mu\u0308ller", ("muller",)),
        ("Straße^Æsa", ("strasse", "aesa")),
        ("ŁUKASZ^Ørsted", ("lukasz", "orsted")),
        ("YAMADA^TARO=山田^太郎=やまだ^たろう", ("yamada", "taro", "山田", "太郎", "やまだ", "たろう")),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ", ("ヤマダ", "タロウ")),
        ("ＳＭＩＴＨ", ("smith",)),
        ("ﬁnn", ("finn",)),
        ("Garcia-Lorca^Federico", ("garcia", "lorca", "federico")),
        ("O'Brien^Pat", ("obrien", "pat")),
        ("O\u2019Brien", ("obrien",)),
        ("Saint John^J. R.", ("saint", "john", "j", "r")),
        ("ジャン・ポール", ("ジャン", "ポール")),
        ("A^B\\C^A", ("a", "b", "c")),
        ("かみ^がみ", ("かみ", "がみ")),  # a voicing mark makes another letter
        ("^^", ()),
        ("", ()),
    ],
)
def test_words(name: str, words: tuple[str, ...]) -> None:
    assert names.words(name) == words


@given(NAMES)
def test_words_of_words_are_themselves(name: str) -> None:
    found = names.words(name)
    assert names.words(" ".join(found)) == found
    assert len(set(found)) == len(found)


@given(NAMES)
def test_what_is_asked_for_is_said_the_same_way(name: str) -> None:
    """So that a query survives its encoding."""
    found = names.asked_words(name)
    assert names.asked_words(" ".join(found)) == found
    assert not any(word.endswith("*") or "**" in word for word in found)


@given(NAMES)
def test_words_do_not_depend_on_how_a_name_is_folded(name: str) -> None:
    assert names.words(folded(name)) == names.words(name)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("smith*", ("smith*",)),
        ("smith^*", ("smith^*", "smith")),
        ("smith^*^*", ("smith^*", "smith")),
        ("smith" + "^*" * 32, ("smith^*", "smith")),
        ("smith^j*^*", ("smith^j*",)),
        ("smith^^*", ("smith^^*", "smith")),
        ("*^*", ("*",)),
        ("^*", ("^*", "")),
        ("*", ("*",)),
    ],
)
def test_components_at_the_end_may_be_left_out(pattern: str, found: tuple[str, ...]) -> None:
    """PS3.5 6.2.1.1."""
    assert names.patterns(pattern) == found
