"""The Defined Terms of Specific Character Set (0008,0005) as a table, and what several of them come to.

PS3.3 C.12.1.1.2 has two kinds. Those of the first, `ISO_IR 100` or `ISO_IR 192`, stand for all text of a data set.
Those of the second, `ISO 2022 IR 87`, name sets of graphic characters that escape sequences switch between
(ISO/IEC 2022, PS3.5 6.1.2.5): one in G0, for bytes below 128, and one in G1, for those above. The first value says
which are in force where a value begins, the others which may be switched to; an empty first value is `ISO 2022 IR 6`.

Devices misspell the terms, mix both kinds and begin with a set of two bytes a character. `repertoire` makes the best
of all that; `are_defined` says whether a name is spelt as the Standard has it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_MAX_CHARACTER_SETS = 16  # PS3.3 knows no use of more than four


@dataclass(frozen=True, slots=True, eq=False)
class GraphicSet:
    """Graphic characters that are designated together; each is one object, compared by identity.

    `codec` is Python's, with ASCII in its lower half.
    """

    codec: str
    escape: bytes
    is_g0: bool = False
    bytes_per_character: int = 1
    shift: bytes = b""  # what the codec wants before each character


@dataclass(frozen=True, slots=True)
class Repertoire:
    """What the values of (0008,0005) come to.

    `g0` and `g1` are in force where a value begins, and `codec` reads both together; `sets` are all that may be
    used, in the order of the values. One that stands alone, without code extensions, has its codec and no sets.
    """

    codec: str
    g0: GraphicSet
    g1: GraphicSet | None
    sets: tuple[GraphicSet, ...]

    @property
    def is_stand_alone(self) -> bool:
        """Whether escape sequences mean nothing in it."""
        return not self.sets

    @property
    def is_default(self) -> bool:
        """Whether this is the default repertoire alone, which (0008,0005) need not name."""
        return self.sets == (ASCII,)


# Table C.12-3 and C.12-4 of PS3.3: registration number, codec, escape sequence.
ASCII = GraphicSet("ascii", b"\x1b(B", is_g0=True)  # ISO IR 6
ROMAJI = GraphicSet("ascii", b"\x1b(J", is_g0=True)  # ISO IR 14
KANA = GraphicSet("shift_jis", b"\x1b)I")  # ISO IR 13
LATIN_1 = GraphicSet("latin_1", b"\x1b-A")
JIS_X_0208 = GraphicSet("euc_jp", b"\x1b$B", is_g0=True, bytes_per_character=2)
JIS_X_0212 = GraphicSet("euc_jp", b"\x1b$(D", is_g0=True, bytes_per_character=2, shift=b"\x8f")
KS_X_1001 = GraphicSet("euc_kr", b"\x1b$)C", bytes_per_character=2)
GB_2312 = GraphicSet("gb2312", b"\x1b$)A", bytes_per_character=2)

# What value 1 puts into G0 and G1 by its registration number.
_SETS: dict[int, tuple[GraphicSet | None, GraphicSet | None]] = {
    6: (ASCII, None),
    13: (ROMAJI, KANA),
    58: (None, GB_2312),
    87: (JIS_X_0208, None),
    149: (None, KS_X_1001),
    159: (JIS_X_0212, None),
    100: (ASCII, LATIN_1),
    101: (ASCII, GraphicSet("iso8859_2", b"\x1b-B")),
    109: (ASCII, GraphicSet("iso8859_3", b"\x1b-C")),
    110: (ASCII, GraphicSet("iso8859_4", b"\x1b-D")),
    126: (ASCII, GraphicSet("iso8859_7", b"\x1b-F")),
    127: (ASCII, GraphicSet("iso8859_6", b"\x1b-G")),
    138: (ASCII, GraphicSet("iso8859_8", b"\x1b-H")),
    144: (ASCII, GraphicSet("iso8859_5", b"\x1b-L")),
    148: (ASCII, GraphicSet("iso8859_9", b"\x1b-M")),
    166: (ASCII, GraphicSet("tis_620", b"\x1b-T")),
    203: (ASCII, GraphicSet("iso8859_15", b"\x1b-b")),
}
_MULTI_BYTE = (58, 87, 149, 159)
_STAND_ALONE = {"ISO_IR 192": "utf_8", "GB18030": "gb18030", "GBK": "gbk"}  # table C.12-5

WITHOUT_CODE_EXTENSIONS = frozenset(f"ISO_IR {n}" for n in _SETS if n not in _MULTI_BYTE) | set(_STAND_ALONE)
WITH_CODE_EXTENSIONS = frozenset(f"ISO 2022 IR {n}" for n in _SETS)

# Escape sequences are obeyed whether or not they are declared, with those that ISO-2022-JP and its relatives have.
DESIGNATIONS = {one.escape: one for pair in _SETS.values() for one in pair if one is not None} | {
    b"\x1b$@": JIS_X_0208,
    b"\x1b$(B": JIS_X_0208,
    b"\x1b(I": GraphicSet("shift_jis", b"\x1b(I", is_g0=True),
    b"\x1b$A": GraphicSet("gb2312", b"\x1b$A", is_g0=True, bytes_per_character=2),
    b"\x1b$(C": GraphicSet("euc_kr", b"\x1b$(C", is_g0=True, bytes_per_character=2),
}

_NAME = re.compile(r"ISO[ _-]?(?:2022[ _-]?)?IR[ _-]?([0-9]{1,3})", re.ASCII)
_LATIN = re.compile(r"ISO[ _-]?8859[ _-]([0-9]{1,2})", re.ASCII)
_PARTS_OF_8859 = {1: 100, 2: 101, 3: 109, 4: 110, 5: 144, 6: 127, 7: 126, 8: 138, 9: 148, 11: 166, 15: 203}
_ALIASES = {"UTF-8": "utf_8", "UTF8": "utf_8", "UTF_8": "utf_8", "ISO 2022 GBK": "gbk", "GB2312": "gbk"}


@lru_cache(maxsize=256)
def are_defined(character_sets: tuple[str, ...]) -> bool:
    """Return whether these are Defined Terms that may stand together, so that everybody understands them."""
    if len(character_sets) == 1:
        return character_sets[0] in WITHOUT_CODE_EXTENSIONS | WITH_CODE_EXTENSIONS | {""}
    extensible = WITHOUT_CODE_EXTENSIONS - set(_STAND_ALONE) | WITH_CODE_EXTENSIONS
    return all(name in extensible or not (name or at) for at, name in enumerate(character_sets))


@lru_cache(maxsize=256)
def repertoire(character_sets: tuple[str, ...]) -> Repertoire:
    """Return what the values of (0008,0005) come to; what is not understood is the default repertoire."""
    found = [_understood(name) for name in character_sets[:_MAX_CHARACTER_SETS]] or [6]
    if isinstance(found[0], str):  # without code extensions there is nothing that other values could name
        return Repertoire(found[0], ASCII, None, ())
    pairs = [_SETS[number] for number in found if isinstance(number, int)]
    g0, g1 = pairs[0]
    if (
        g0 is None or g0.bytes_per_character > 1
    ):  # value 1 must not be such a set: ASCII is meant (table C.12-4)
        g0 = ASCII
    sets = tuple(dict.fromkeys(one for pair in ((g0, g1), *pairs) for one in pair if one is not None))
    return Repertoire((g1 or _unannounced(sets)).codec, g0, g1, sets)


def _unannounced(sets: tuple[GraphicSet, ...]) -> GraphicSet:
    """Return what bytes above 127 are read as where nothing is in G1.

    They mean nothing there. But devices leave escape sequences out, so they are the first set of two bytes a
    character that is declared, else Latin-1: most such devices are Western.
    """
    return next((one for one in sets if not one.is_g0 and one.bytes_per_character > 1), LATIN_1)


def _understood(name: str) -> int | str:
    """Return the registration number of a term, or the codec of one that stands alone."""
    tidy = " ".join(name[:32].replace("\0", " ").upper().split())
    if codec := _STAND_ALONE.get(tidy) or _ALIASES.get(tidy):
        return codec
    number = 6
    if match := _NAME.fullmatch(tidy):
        number = int(match[1])
    elif match := _LATIN.fullmatch(tidy):
        number = _PARTS_OF_8859.get(int(match[1]), 6)
    if number == 192:
        return "utf_8"
    return number if number in _SETS else 6


@dataclass(frozen=True, slots=True)
class CharacterSetRule:
    """How far one who sends is believed about the character sets of its data sets and Identifiers.

    `override` is what it uses, whatever it says; `default` is what it uses where it says nothing.
    """

    override: tuple[str, ...] | None = None
    default: tuple[str, ...] = ()

    def applied(self, said: tuple[str, ...]) -> tuple[str, ...]:
        """Return the character sets to read in, where (0008,0005) has these values; none if it is absent or empty."""
        return (said or self.default) if self.override is None else self.override


AS_SAID = CharacterSetRule()
