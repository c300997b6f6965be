"""Code extension: what is written is what PS3.5 6.1.2.5 wants, and what is read is all that devices write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom import charset
from pacsnode.dicom.character_sets import repertoire
from pacsnode.dicom.iso_2022 import decode
from tests.character_sets import REPERTOIRES, texts

_G0_OF = {13: b"\x1b(J", 87: b"\x1b$B", 159: b"\x1b$(D", 58: b"", 149: b""}
_G1_OF = {
    6: b"",
    13: b"\x1b)I",
    58: b"\x1b$)A",
    87: b"",
    100: b"\x1b-A",
    101: b"\x1b-B",
    109: b"\x1b-C",
    110: b"\x1b-D",
    126: b"\x1b-F",
    127: b"\x1b-G",
    138: b"\x1b-H",
    144: b"\x1b-L",
    148: b"\x1b-M",
    149: b"\x1b$)C",
    159: b"",
    166: b"\x1b-T",
    203: b"\x1b-b",
}
_ESCAPES = {_G0_OF.get(n, b"\x1b(B"): "G0" for n in _G1_OF} | dict.fromkeys(_G1_OF.values(), "G1")
del _ESCAPES[b""]
_EXTENDED = [sets for sets in REPERTOIRES if "2022" in sets[-1]]


class Strict:
    """A reader that forgives nothing: it follows the bytes one by one and fails where a rule is broken."""

    def __init__(self, sets: tuple[str, ...], *, resets: str) -> None:
        numbers = [int(name.rpartition(" ")[2] or 6) for name in sets]
        self.first = (_G0_OF.get(numbers[0], b"\x1b(B"), _G1_OF[numbers[0]])
        self.declared = (
            {_G0_OF.get(n, b"\x1b(B") for n in numbers} | {_G1_OF[n] for n in numbers} | {b"\x1b(B"}
        )
        self.g0, self.g1 = self.first
        self.resets = resets.encode()

    def read(self, value: bytes) -> None:
        at = 0
        while at < len(value):
            at += self.step(value[at:])
        assert self.g0 == self.first[0], "another set in G0 at the end of the value"
        assert self.first[1] in (b"", self.g1), "another set in G1 at the end of the value"

    def step(self, rest: bytes) -> int:
        if rest[:1] == b"\x1b":
            return self.designate(rest)
        if rest[0] >= 0x80:
            assert self.g1, "nothing is in G1"
            assert self.g0 in (b"\x1b(B", b"\x1b(J"), (
                "pydicom reads what stands between two escape sequences in one set"
            )
            return 2 if self.g1.startswith(b"\x1b$") else 1
        if rest[0] > 0x20 and self.g0.startswith(b"\x1b$"):
            assert 0x21 <= rest[1] <= 0x7E
            return 2
        if rest[0] < 0x20 or rest[0] in self.resets:
            assert self.g0 == self.first[0], "another set in G0 before a delimiter"
            assert self.first[1] in (b"", self.g1), "another set in G1 before a delimiter"
            self.g0, self.g1 = self.first
        return 1

    def designate(self, rest: bytes) -> int:
        escape = next(one for one in _ESCAPES if rest.startswith(one))
        assert escape in self.declared, "a set that is not declared"
        if _ESCAPES[escape] == "G0":
            self.g0 = escape
        else:
            self.g1 = escape
        return len(escape)


@pytest.mark.parametrize("sets", _EXTENDED, ids="\\".join)
@given(data=st.data())
def test_what_is_written_follows_the_rules(sets: tuple[str, ...], data: st.DataObject) -> None:
    text = data.draw(texts(sets))
    for vr, resets in (("PN", "\\^="), ("LO", "\\"), ("LT", "")):
        value = charset.encode(text, vr, sets)
        assert value is not None
        Strict(sets, resets=resets).read(value)
    Strict(sets, resets="\\").read(charset.encode(text, "LT", sets) or b"")  # one that takes LT for LO


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"\x1b$B;3", "end of the value"),
        (b"\x1b$B;3\x1b(B\xc4", "nothing is in G1"),
        (b"\x1b-F\xc4", "not declared"),
    ],
)
def test_the_strict_reader_is_strict(value: bytes, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        Strict(("", "ISO 2022 IR 87"), resets="\\").read(value)


@pytest.mark.parametrize(
    ("sets", "text", "value"),
    [
        (("", "ISO 2022 IR 87"), "山 a", b"\x1b$B;3\x1b(B a"),
        (("ISO 2022 IR 13", "ISO 2022 IR 87"), "ﾔ山ﾔ", b"\xd4\x1b$B;3\x1b(J\xd4"),
        (("ISO 2022 IR 100", "ISO 2022 IR 126"), "äΔδä", b"\xe4\x1b-F\xc4\xe4\x1b-A\xe4"),
        (("ISO 2022 IR 100", "ISO 2022 IR 126"), "Δ\\ä", b"\x1b-F\xc4\x1b-A\\\xe4"),
        (
            ("", "ISO 2022 IR 87", "ISO 2022 IR 149"),
            "홍辻홍",  # a character that only Japan has
            b"\x1b$)C\xc8\xab\x1b$BDT\x1b(B\x1b$)C\xc8\xab",
        ),
        (("ISO 2022 IR 149",), "홍", b"\x1b$)C\xc8\xab"),
        (("", "ISO 2022 IR 87", "ISO 2022 IR 159"), "丂山", b"\x1b$(D0!\x1b$B;3\x1b(B"),
    ],
)
def test_sets_are_changed_as_seldom_as_can_be(sets: tuple[str, ...], text: str, value: bytes) -> None:
    encoded = charset.encode(text, "LO", sets)
    assert encoded == value
    assert charset.decode(value, "LO", sets) == text


@pytest.mark.parametrize(
    ("value", "vr", "sets", "text"),
    [
        (b"\xc8\xab^\xb1\xe6", "PN", ("", "ISO 2022 IR 149"), "홍^길"),  # no escape sequences at all
        (
            b"\x1b$)C\xc8\xab^\xb1\xe6",
            "PN",
            ("", "ISO 2022 IR 149"),
            "홍^길",
        ),  # not repeated after a delimiter
        (b"\xc8\xab", "PN", ("ISO 2022 IR 149",), "홍"),  # alone, as if it were EUC
        (b"\x94\xee", "PN", ("ISO 2022 IR 149",), "뷁"),  # Windows' code page 949
        (
            b"\x1b$)C\xa4\xd4\xa4\xb2\xa4\xce\xa4\xaa",
            "PN",
            ("", "ISO 2022 IR 149"),
            "뷁",
        ),  # KS X 1001 annex 3
        (b"\xd5\xc5", "PN", ("", "ISO 2022 IR 58"), "张"),
        (b"\x96\x7c", "PN", ("", "ISO 2022 IR 58"), "東"),  # GBK under the name of its half
        (b"\x8eR\x93c", "PN", ("ISO_IR 13",), "山田"),  # Shift JIS under the name of its half
        (b"\x1b$B-!\x1b(B", "LO", ("", "ISO 2022 IR 87"), "①"),  # NEC's row 13
        (b"\x1b$B|b\x1b(B^A", "PN", ("", "ISO 2022 IR 87"), "髙^A"),  # IBM's kanji
        (b"\x1b$@;3\x1b(J^A", "PN", (), "山^A"),  # the set of 1978, nothing declared
        (b"\x1b$(B;3\x1b(B", "PN", (), "山"),
        (b"\x1b(I3J\x1b(B", "LO", (), "ｳﾊ"),
        (b"\x1b(J\xd4\xcf", "LO", ("", "ISO 2022 IR 87"), "ﾔﾏ"),  # ISO IR 13 undeclared
        (b"\x1b$B;3\r\nab", "LT", ("", "ISO 2022 IR 87"), "山\r\nab"),  # no return before the end of the line
        (b"\x1b$B;3 ED", "LO", ("", "ISO 2022 IR 87"), "山 田"),
        (b"\x1b$AUE\x1b(B", "LO", (), "张"),
        (b"\x1b$(CH+\x1b(B", "LO", (), "홍"),
    ],
)
def test_what_devices_write_is_read(value: bytes, vr: str, sets: tuple[str, ...], text: str) -> None:
    assert charset.decode(value, vr, sets) == text


@pytest.mark.parametrize(
    "value",
    [
        b"\x1b$B;3E",  # half a character
        b"\x1b$B\xff\xff",  # nothing is in G1
        b"\x1b$B~~",  # in no table
        b"\x1b$)C\xff",
        b"\x1b$(D!!",
        b"\x1b-H\xbf",
    ],
)
def test_what_means_nothing_is_marked(value: bytes) -> None:
    assert "\ufffd" in charset.decode(value, "LO", ("", "ISO 2022 IR 87"))


@given(
    st.lists(
        st.sampled_from([*_ESCAPES, b"\x1b", b"\x1b$", b"^", b"=", b"\\", b"\n", b"ab", b"\xc4", b"\xe9\xe9"])
    )
)
def test_reading_never_fails_and_what_follows_a_delimiter_does_not_depend_on_what_was_before(
    parts: list[bytes],
) -> None:
    found = repertoire(("ISO 2022 IR 100", "ISO 2022 IR 87"))
    value = b"".join(parts)
    assert decode(value + b"\n\xc4", "PN", found).endswith("\nÄ")
