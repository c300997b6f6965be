"""Character sets: the examples of PS3.5, what devices send, and that nothing fails or is lost."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

from pacsnode.dicom import charset

# PS3.5 H, I, J, K: the names as they stand in a data set and as they read.
EXAMPLES = [
    (("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎=やまだ^たろう",
     b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"),
    (("ISO 2022 IR 13", "ISO 2022 IR 87"), "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
     b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"),
    (("", "ISO 2022 IR 149"), "Hong^Gildong=洪^吉洞=홍^길동",
     b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"),
    (("", "ISO 2022 IR 58"), "Zhang^XiaoDong=张^小东",
     b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"),
    (("ISO_IR 192",), "Wang^XiaoDong=王^小東", "Wang^XiaoDong=王^小東".encode()),
    (("GB18030",), "Wang^XiaoDong=王^小东", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"),
    (("GBK",), "Wang^XiaoDong=王^小东", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"),
    (("ISO_IR 100",), "Buc^Jérôme", b"Buc^J\xe9r\xf4me"),
    (("ISO_IR 101",), "Wałęsa", b"Wa\xb3\xeasa"),
    (("ISO_IR 126",), "Διονυσιος", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2"),
    (("ISO_IR 127",), "قباني^لنزار", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1"),
    (("ISO_IR 138",), "שרון^דבורה", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4"),
    (("ISO_IR 144",), "Люкceмбypг", b"\xbb\xee\xdace\xdc\xd1yp\xd3"),
    (("ISO_IR 166",), "สมชาย", "สมชาย".encode("tis-620")),
    (("ISO 2022 IR 100", "ISO 2022 IR 126"), "Müller^Διον",
     b"M\xfcller^\x1b-F\xc4\xe9\xef\xed"),
]  # fmt: skip
CHARACTER_SETS = [sets for sets, _, _ in EXAMPLES]


@pytest.mark.parametrize(("sets", "text", "value"), EXAMPLES)
def test_examples_are_read(sets: tuple[str, ...], text: str, value: bytes) -> None:
    assert charset.decode(value, "PN", sets) == text


@pytest.mark.parametrize(("sets", "text", "value"), EXAMPLES)
def test_examples_are_written_as_they_stand_in_the_standard(
    sets: tuple[str, ...], text: str, value: bytes
) -> None:
    assert charset.encode(text, "PN", sets) == value


# Without ISO IR 58, whose escape sequence pydicom leaves in the text.
@pytest.mark.parametrize(
    ("sets", "text", "value"), [row for row in EXAMPLES if "ISO 2022 IR 58" not in row[0]]
)
def test_pydicom_reads_what_is_written(sets: tuple[str, ...], text: str, value: bytes) -> None:
    encoded = charset.encode(text, "PN", sets)
    assert encoded is not None
    parts = [
        decode_bytes(part, convert_encodings(list(sets)), TEXT_VR_DELIMS | {0x5E})
        for part in encoded.split(b"=")
    ]
    assert "=".join(parts) == text


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ISO IR 100", "ISO_IR 100"),
        ("ISO_IR 192 ", "ISO_IR 192"),
        ("iso_ir_192", "ISO_IR 192"),
        ("ISO-IR 101", "ISO_IR 101"),
        ("ISO_IR192", "ISO_IR 192"),
        ("UTF-8", "ISO_IR 192"),
        ("utf8", "ISO_IR 192"),
        ("ISO 2022 IR 192", "ISO_IR 192"),
        ("ISO2022 IR 87", "ISO 2022 IR 87"),
        ("ISO_2022_IR_87", "ISO 2022 IR 87"),
        ("ISO_IR 87", "ISO 2022 IR 87"),
        ("ISO_IR 149", "ISO 2022 IR 149"),
        ("ISO_IR 58", "ISO 2022 IR 58"),
        ("ISO 8859-1", "ISO_IR 100"),
        ("ISO_8859-5", "ISO_IR 144"),
        ("gb18030", "GB18030"),
        ("ISO_IR 6", ""),
        ("ISO_IR 100\0", "ISO_IR 100"),
        ("ISO_IR 9999", ""),
        ("punycode", ""),
        ("zip", ""),
        ("idna", ""),
        ("ISO_IR 000100", ""),
        ("x" * 100_000, ""),
        ("ISO_IR 100" + " " * 100_000 + "x", "ISO_IR 100"),
    ],
)
def test_misspelt_character_sets_are_understood_and_unknown_ones_the_default(said: str, meant: str) -> None:
    assert charset.codecs_of((said,)) == charset.codecs_of((meant,))


def test_a_stand_alone_character_set_allows_no_others() -> None:
    assert charset.codecs_of(("ISO_IR 192", "ISO 2022 IR 87")) == charset.codecs_of(("ISO_IR 192",))
    assert charset.codecs_of(("", "ISO_IR 192", "ISO 2022 IR 87")) == charset.codecs_of(
        ("", "ISO 2022 IR 87")
    )


def test_high_bytes_in_the_default_repertoire_are_latin() -> None:
    assert charset.decode(b"M\xfcller", "PN", ()) == "Müller"
    assert charset.decode(b"M\xfcller", "PN", ("ISO_IR 6",)) == "Müller"
    assert charset.encode("Müller", "PN", ()) is None


def test_undecodable_bytes_are_marked() -> None:
    assert charset.decode(b"M\xfcller", "PN", ("ISO_IR 192",)) == "M\ufffdller"
    assert "\ufffd" in charset.decode(b"\x1b$B\xff\xff", "PN", ("", "ISO 2022 IR 87"))


def test_a_known_escape_sequence_is_obeyed_undeclared_and_an_unknown_one_stays() -> None:
    assert charset.decode(b"\x1b$B;3ED\x1b(B^A", "PN", ()) == "山田^A"
    assert charset.decode(b"a\x1b%Gb", "LO", ()) == "a\x1b%Gb"


def test_delimiters_restore_the_first_character_set() -> None:
    sets = ("ISO 2022 IR 100", "ISO 2022 IR 126")
    assert charset.decode(b"\x1b-F\xc4^\xc4=\xc4", "PN", sets) == "Δ^Ä=Ä"
    assert charset.decode(b"\x1b-F\xc4^\xc4\\\xc4\n\xc4", "LO", sets) == "Δ^Δ\\Ä\nÄ"


def test_a_backslash_within_two_byte_characters_delimits_nothing() -> None:
    assert charset.decode("表\\東".encode("gbk"), "LO", ("GBK",)) == "表\\東"
    value = charset.encode("構\\東", "LO", ("", "ISO 2022 IR 87"))
    assert value is not None
    assert charset.decode(value, "LO", ("", "ISO 2022 IR 87")) == "構\\東"


@pytest.mark.parametrize(
    ("text", "sets"),
    [
        ("Ω", ("ISO_IR 100",)),
        ("山", ("ISO_IR 13",)),
        ("\ud800", ("ISO_IR 192",)),
        ("한", ("", "ISO 2022 IR 87")),
    ],
)
def test_text_without_a_representation_is_none(text: str, sets: tuple[str, ...]) -> None:
    assert charset.encode(text, "LO", sets) is None


@given(
    st.binary(max_size=200), st.sampled_from(["PN", "LO", "LT"]), st.lists(st.text(max_size=20), max_size=5)
)
def test_decoding_never_fails(value: bytes, vr: str, sets: list[str]) -> None:
    charset.decode(value, vr, tuple(sets))


@given(
    st.text("ab^=\\ \x1b\n$(B\x1b)IäéΔ山田やﾔ한홍张", max_size=20),
    st.sampled_from(["PN", "LO"]),
    st.sampled_from([*CHARACTER_SETS, (), ("", "ISO 2022 IR 87", "ISO 2022 IR 159", "ISO 2022 IR 149")]),
)
def test_what_is_written_is_read_back(text: str, vr: str, sets: tuple[str, ...]) -> None:
    value = charset.encode(text, vr, sets)
    if value is not None:
        assert charset.decode(value, vr, sets) == text


@given(st.text(max_size=50))
def test_utf_8_represents_everything(text: str) -> None:
    value = charset.encode(text, "PN", ("ISO_IR 192",))
    assert value == text.encode() if "\x1b" not in text else value is not None


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
        (unicodedata.normalize("NFD", "Müller"), "müller"),
        ("A^ \\B^^", "a\\b"),
    ],
)
def test_names_are_folded(text: str, expected: str) -> None:
    assert charset.folded(text) == expected


@given(st.text(st.sampled_from("aAßİ ^=\\\u0345é\u0301山"), max_size=12) | st.text(max_size=12))
@example("\u0345")
def test_folding_twice_is_folding_once_and_case_does_not_matter(text: str) -> None:
    assert charset.folded(charset.folded(text)) == charset.folded(text)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("SM*^^", "sm*"),
        ("Smi?h^J*", "smi?h^j*"),
        ("*", "*"),
        ("SMITH^*", "smith^*"),
        ("?^^", "?"),
        ("*^J=", "*^j"),
    ],
)
def test_patterns_keep_their_wildcards(pattern: str, expected: str) -> None:
    assert charset.folded_pattern(pattern) == expected
