"""Person names as they are compared."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacsnode.dicom.folding import folded, folded_pattern


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Doe^John", "doe^john"),
        ("DOE^JOHN^^^", "doe^john"),
        (" Doe ^ John ", "doe^john"),
        ("Doe^^^Dr", "doe^^^dr"),
        ("Doe==", "doe"),
        ("Doe^=山^=", "doe=山"),
        ("=山田", "=山田"),
        ("Straße", "strasse"),
        ("", ""),
        ("^^=^", ""),
        ("A^ \\B^^", "a\\b"),
        ("山田　^太郎　", "山田^太郎"),
    ],
)
def test_case_and_padding_do_not_count(text: str, expected: str) -> None:
    assert folded(text) == expected


@pytest.mark.parametrize(
    "spellings",
    [
        ("Müller", unicodedata.normalize("NFD", "Müller"), "MULLER"),
        ("Wałęsa", "WALESA"),
        ("Søren", "SOREN"),
        ("Æsøp", "aesop"),
        ("Çavuşoğlu^İnci", "CAVUSOGLU^INCI", "cavusoglu^ınci"),
        ("Nguyễn^Đức", "NGUYEN^DUC"),
        ("Διονύσιος", "ΔΙΟΝΥΣΙΟΣ"),
        ("Королёв^Андрей", "КОРОЛЕВ^АНДРЕИ"),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ", "ヤマダ^タロウ"),
        ("ﾊﾟﾋﾟﾌﾟ", "パピプ"),
        ("ＹＡＭＡＤＡ^Ｔａｒｏ１", "yamada^taro1"),
        ("ﾡﾢ", "ㄱㄲ".translate({0x3131: 0x1100, 0x3132: 0x1101})),
        ("\u212bngstrom", "Ångström"),
    ],
)
def test_accents_and_width_do_not_count(spellings: tuple[str, ...]) -> None:
    assert len({folded(spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("か", "が"),
        ("ｶ", "ｶﾞ"),
        ("は", "ぱ"),
        ("か", "カ"),
        ("สมชาย", "สมชย"),
        ("กิ", "กี"),
        ("किरण", "करण"),
        ("김", "긴"),
        ("王", "玉"),
        ("Müller", "Mueller"),
    ],
)
def test_what_makes_another_letter_counts(one: str, other: str) -> None:
    assert folded(one) != folded(other)


@pytest.mark.parametrize("char", "＊？＝＾＼")
def test_what_would_become_a_wildcard_or_a_delimiter_keeps_its_width(char: str) -> None:
    assert folded(f"Ａ{char}Ｂ") == f"a{char}b"


def test_a_struck_through_equals_sign_is_no_delimiter() -> None:
    assert folded("A≠B") == "a≠b"
    assert folded("A=\u0338B") == "a=\u0338b"


_ODD = st.text(st.sampled_from("aAßİ ^=\\\u0345é\u0301山ｶﾞﾟ\u3099Ａ＾＝\u3000ıŁǾǽﬁ≠\u0338ﾡ"), max_size=12)


@given(_ODD | st.text(max_size=12))
@example("\u0345")
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(_ODD | st.text(max_size=12))
def test_composition_does_not_count(text: str) -> None:
    decomposed = "\\".join(unicodedata.normalize("NFD", value) for value in text.split("\\"))
    if not set("≠≮≯") & set(text) and "\u0338" not in decomposed:  # these come apart into a delimiter
        assert folded(decomposed) == folded(unicodedata.normalize("NFC", decomposed))


@given(_ODD | st.text(max_size=12))
def test_no_delimiter_comes_out_of_folding(text: str) -> None:
    for delimiter in "\\^=*?":
        assert folded(text).count(delimiter) <= text.count(delimiter)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("SM*^^", "sm*"),
        ("Smi?h^J*", "smi?h^j*"),
        ("*", "*"),
        ("SMITH^*", "smith^*"),
        ("?^^", "?"),
        ("*^J=", "*^j"),
        ("MÜL*^ｶ?", "mul*^カ?"),
        ("＊", "＊"),
    ],
)
def test_patterns_keep_their_wildcards(pattern: str, expected: str) -> None:
    assert folded_pattern(pattern) == expected
