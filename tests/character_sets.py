"""What each Specific Character Set can write: its terms, and all its characters beyond ASCII.

The characters are those of Python's codecs, byte by byte or pair by pair, without any of the project's code.
"""

from collections.abc import Iterable
from functools import cache

from hypothesis import strategies as st

_UPPER = range(0xA0, 0x100)
_ASCII = "".join(map(chr, range(0x20, 0x7F)))

_CODECS = {
    100: "latin_1",
    101: "iso8859_2",
    109: "iso8859_3",
    110: "iso8859_4",
    126: "iso8859_7",
    127: "iso8859_6",
    138: "iso8859_8",
    144: "iso8859_5",
    148: "iso8859_9",
    166: "tis_620",
    203: "iso8859_15",
}


def _characters(raw: Iterable[bytes], codec: str) -> str:
    decoded = (_decoded(one, codec) for one in raw)
    return "".join(dict.fromkeys(text for text in decoded if len(text) == 1 and not text.isascii()))


def _decoded(raw: bytes, codec: str) -> str:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return ""


def _pairs(first: range, second: range, prefix: bytes = b"") -> Iterable[bytes]:
    return (prefix + bytes((one, other)) for one in first for other in second)


_CELLS = range(0xA1, 0xFF)

# By registration number (PS3.3 C.12.1.1.2).
CHARACTERS = {
    number: _characters((bytes((b,)) for b in _UPPER), codec) for number, codec in _CODECS.items()
} | {
    6: "",
    13: _characters((bytes((b,)) for b in range(0xA1, 0xE0)), "shift_jis"),
    58: _characters(_pairs(_CELLS, _CELLS), "gb2312"),
    87: _characters(_pairs(_CELLS, _CELLS), "euc_jp"),
    149: _characters(_pairs(_CELLS, _CELLS), "euc_kr"),
    159: _characters(_pairs(_CELLS, _CELLS, b"\x8f"), "euc_jp"),
}
GBK = _characters(_pairs(range(0x81, 0xFF), range(0x40, 0xFF)), "gbk")

SINGLE_BYTE = tuple(sorted({13, *_CODECS}))
MULTI_BYTE = (58, 87, 149, 159)

# Values of (0008,0005) and the characters that each can write.
REPERTOIRES: dict[tuple[str, ...], str] = (
    {(f"ISO_IR {n}",): CHARACTERS[n] for n in SINGLE_BYTE}
    | {(f"ISO 2022 IR {n}",): CHARACTERS[n] for n in SINGLE_BYTE}
    | {("", f"ISO 2022 IR {n}"): CHARACTERS[n] for n in (*SINGLE_BYTE, *MULTI_BYTE)}
    | {
        (f"ISO 2022 IR {first}", *(f"ISO 2022 IR {n}" for n in further)): "".join(
            CHARACTERS[n] for n in (first, *further)
        )
        for first, *further in (
            (6, 87, 159),
            (13, 87),
            (13, 87, 159),
            (100, 126, 144),
            (126, 100),
            (138, 127),
            (100, 149),
            (144, 58),
            (6, 87, 149, 58),
            (13, 159, 166, 203),
        )
    }
    | {("GBK",): GBK, ("GB18030",): GBK + "\U00020089\U0001f600ß", ("ISO_IR 192",): GBK + "ßж\U0001f600"}
)


@cache
def texts(character_sets: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Return texts of a set's own characters, of ASCII and of all that delimits."""
    return st.text(st.sampled_from("ab ~^=\\\r\n\t" * 5 + REPERTOIRES[character_sets]), max_size=20)


def sample(character_sets: tuple[str, ...], characters: int = 12) -> list[str]:
    """Return texts that have all the characters of a set, some ASCII between them, and no delimiters."""
    own = REPERTOIRES[character_sets]
    return [own[at : at + characters] + "a B" + own[at : at + 2] for at in range(0, len(own), characters)]
