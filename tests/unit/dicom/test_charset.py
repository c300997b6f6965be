"""Character sets: the examples of PS3.5, what devices send, and that nothing fails or is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

from pacsnode.dicom import charset
from tests.character_sets import REPERTOIRES, sample, texts
from tests.corpus import corpus_files

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
    (("ISO_IR 203",), "Œuvre^Šárka", b"\xbcuvre^\xa6\xe1rka"),
    (("ISO 2022 IR 100", "ISO 2022 IR 126"), "Müller^Διον=ä",
     b"M\xfcller^\x1b-F\xc4\xe9\xef\xed\x1b-A=\xe4"),
]  # fmt: skip

# Text over several lines, PS3.5 I.3, J and K.3: the escape sequence stands again in each line that needs it.
LINES = [
    (("", "ISO 2022 IR 149"), "The first line includes 길동.\r\nThe second line includes 길동, too.\r\nThe third line.",
     (b"\x1b$)CThe first line includes \xb1\xe6\xb5\xbf.\r\n"
      b"\x1b$)CThe second line includes \xb1\xe6\xb5\xbf, too.\r\nThe third line.")),
    (("", "ISO 2022 IR 58"), "1. 第一行文字。\r\n2. 第二行文字。\r\n3. 第三行文字。\r\n",
     (b"1. \x1b$)A\xb5\xda\xd2\xbb\xd0\xd0\xce\xc4\xd7\xd6\xa1\xa3\r\n"
      b"2. \x1b$)A\xb5\xda\xb6\xfe\xd0\xd0\xce\xc4\xd7\xd6\xa1\xa3\r\n"
      b"3. \x1b$)A\xb5\xda\xc8\xfd\xd0\xd0\xce\xc4\xd7\xd6\xa1\xa3\r\n")),
    (("GB18030",), "The first line includes 中文.\r\nThe third line.",
     b"The first line includes \xd6\xd0\xce\xc4.\r\nThe third line."),
    (("ISO_IR 192",), "The first line includes 中文.\r\nThe third line.",
     b"The first line includes \xe4\xb8\xad\xe6\x96\x87.\r\nThe third line."),
]  # fmt: skip

# The names in the files that David Clunie has made for pydicom, and in two others.
CORPUS = [
    ("chrArab.dcm", ("ISO_IR 127",), "قباني^لنزار"),
    ("chrFren.dcm", ("ISO_IR 100",), "Buc^Jérôme"),
    ("chrFrenMulti.dcm", ("ISO_IR 100",), "Buc^Jérôme"),
    ("chrGerm.dcm", ("ISO_IR 100",), "Äneas^Rüdiger"),
    ("chrGreek.dcm", ("ISO_IR 126",), "Διονυσιος"),
    ("chrH31.dcm", ("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("chrH32.dcm", ("ISO 2022 IR 13", "ISO 2022 IR 87"), "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    ("chrHbrw.dcm", ("ISO_IR 138",), "שרון^דבורה"),
    ("chrI2.dcm", ("", "ISO 2022 IR 149"), "Hong^Gildong=洪^吉洞=홍^길동"),
    ("chrJapMulti.dcm", ("", "ISO 2022 IR 87"), "やまだ^たろう"),
    ("chrJapMultiExplicitIR6.dcm", ("ISO 2022 IR 6", "ISO 2022 IR 87"), "やまだ^たろう"),
    ("chrKoreanMulti.dcm", ("", "ISO 2022 IR 149"), "김희중"),
    ("chrRuss.dcm", ("ISO_IR 144",), "Люкceмбypг"),
    ("chrX1.dcm", ("ISO_IR 192",), "Wang^XiaoDong=王^小東"),
    ("chrX2.dcm", ("GB18030",), "Wang^XiaoDong=王^小东"),
]


@pytest.mark.parametrize(("sets", "text", "value"), LINES)
def test_lines_are_read(sets: tuple[str, ...], text: str, value: bytes) -> None:
    assert charset.decode(value, "LT", sets) == text


@pytest.mark.parametrize(("sets", "text", "value"), EXAMPLES)
def test_examples_are_read(sets: tuple[str, ...], text: str, value: bytes) -> None:
    assert charset.decode(value, "PN", sets) == text


@pytest.mark.parametrize(("sets", "text", "value"), EXAMPLES)
def test_examples_are_written_as_they_stand_in_the_standard(
    sets: tuple[str, ...], text: str, value: bytes
) -> None:
    assert charset.encode(text, "PN", sets) == value


# Without ISO IR 58, whose escape sequence pydicom leaves in the text, and ISO_IR 203, which it does not know.
@pytest.mark.parametrize(
    ("sets", "text", "value"), [row for row in EXAMPLES if not {"ISO 2022 IR 58", "ISO_IR 203"} & set(row[0])]
)
def test_pydicom_reads_what_is_written(sets: tuple[str, ...], text: str, value: bytes) -> None:
    encoded = charset.encode(text, "PN", sets)
    assert encoded is not None
    parts = [
        decode_bytes(part, convert_encodings(list(sets)), TEXT_VR_DELIMS | {0x5E})
        for part in encoded.split(b"=")
    ]
    assert "=".join(parts) == text


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
    assert charset.decode(b"\x1b-F\xc4=\xc4\\\xc4\t\xc4", "LT", sets) == "Δ=Δ\\Δ\tÄ"


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
        ("¥", ("ISO 2022 IR 13", "ISO 2022 IR 87")),
        ("‾", ("ISO 2022 IR 13", "ISO 2022 IR 87")),
        ("뷁", ("", "ISO 2022 IR 149")),
        ("髙", ("", "ISO 2022 IR 87")),
        ("€", ("GBK",)),
        ("\ufffd", ("ISO_IR 100",)),
    ],
)
def test_text_without_a_representation_is_none(text: str, sets: tuple[str, ...]) -> None:
    assert charset.encode(text, "LO", sets) is None


@given(
    st.binary(max_size=200), st.sampled_from(["PN", "LO", "LT"]), st.lists(st.text(max_size=20), max_size=5)
)
def test_decoding_never_fails(value: bytes, vr: str, sets: list[str]) -> None:
    charset.decode(value, vr, tuple(sets))


VRS = ("PN", "LO", "SH", "UC", "LT", "ST", "UT")


@pytest.mark.parametrize("sets", REPERTOIRES, ids="\\".join)
@given(data=st.data())
def test_what_is_written_is_read_back(sets: tuple[str, ...], data: st.DataObject) -> None:
    """Each character set writes all of its characters, between delimiters, ASCII and line ends."""
    text, vr = data.draw(texts(sets)), data.draw(st.sampled_from(VRS))
    value = charset.encode(text, vr, sets)
    assert value is not None
    assert charset.decode(value, vr, sets) == text


@pytest.mark.parametrize("sets", REPERTOIRES, ids="\\".join)
def test_all_characters_are_written_and_read_back(sets: tuple[str, ...]) -> None:
    for text in sample(sets):
        value = charset.encode(text, "LO", sets)
        assert value is not None
        assert charset.decode(value, "LO", sets) == text


@given(
    st.text("ab^=\\ \x1b\n$(B\x1b)IäéΔ山田やﾔ한홍张", max_size=20),
    st.sampled_from(VRS),
    st.sampled_from([*REPERTOIRES, (), ("", "ISO 2022 IR 87", "ISO 2022 IR 159", "ISO 2022 IR 149")]),
)
def test_what_can_be_written_is_read_back(text: str, vr: str, sets: tuple[str, ...]) -> None:
    value = charset.encode(text, vr, sets)
    if value is not None:
        assert charset.decode(value, vr, sets) == text


@given(st.text(max_size=50))
def test_unicode_represents_everything(text: str) -> None:
    assert charset.encode(text, "PN", ("ISO_IR 192",)) == text.encode()
    value = charset.encode(text, "PN", ("GB18030",))
    assert value == text.encode("gb18030") or (
        value is None and any("\ue78d" <= char <= "\ue864" for char in text)
    )


def test_text_is_compared_composed() -> None:
    assert charset.normalized("Sa\u0308ge") == "Säge"
    assert charset.normalized("plain") == "plain"


@pytest.mark.parametrize(("name", "sets", "patient"), CORPUS)
def test_the_files_of_the_corpus(name: str, sets: tuple[str, ...], patient: str) -> None:
    """The names that the makers of these files have put in, written back as they stand there."""
    (path,) = (file.path for file in corpus_files() if file.path.name == name)
    data_set = dcmread(path)
    raw = data_set.get_item(0x00100010).value.rstrip()
    said = data_set.SpecificCharacterSet
    assert ((said,) if isinstance(said, str) else tuple(said)) == sets
    text = charset.decode(raw, "PN", sets)
    assert text.rstrip("=") == patient
    # One file returns to ASCII where it is in G0 already.
    assert charset.encode(text, "PN", sets) in (raw, raw.removesuffix(b"\x1b(B"))
