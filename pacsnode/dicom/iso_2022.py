"""Code extension: text in several sets of graphic characters (ISO/IEC 2022 as PS3.5 6.1.2.5 restricts it).

Two sets are in force at each byte: G0 for bytes below 128 and G1 for those above. An escape sequence puts another set
into one of them. The sets of value 1 of (0008,0005) are in force again at the end of the value, at each delimiter
and at each control character (PS3.5 6.1.2.5.3). What delimits depends on the VR: the backslash between values, in a
PN `^` and `=` too, in LT, ST and UT nothing, since they have one value. Within a set of two bytes a character in G0
these are halves of characters and delimit nothing.

Readers are crude, so what is written is good for them, too: a set in G1 is used with ASCII in G0 only, its escape
sequence is repeated after each one for G0 and after a backslash in any VR, and a set of two bytes a character is
announced even where it is in force already.

Of JIS X 0201 (ISO IR 14) only what equals ASCII is used: its Yen sign is the delimiter of values (PS3.5 6.1.2.5.3),
and its overline stands where everybody writes a tilde.
"""

import re
from functools import lru_cache

from pacsnode.dicom.character_sets import ASCII, DESIGNATIONS, KANA, ROMAJI, GraphicSet, Repertoire
from pacsnode.dicom.codec import read, written

_ESCAPE = "\x1b"
_LONG_ESCAPES = (b"$(", b"$)")

# An escape sequence and what follows it up to the next; or what stands before the first.
_FRAGMENT = re.compile(rb"\x1b[^\x1b]*|[^\x1b]+")
_RESETS = {
    "PN": re.compile(rb"[\x00-\x1a\x1c-\x1f\\^=]"),
    **dict.fromkeys(("LT", "ST", "UT"), re.compile(rb"[\x00-\x1a\x1c-\x1f]")),
}
_RESET = re.compile(rb"[\x00-\x1a\x1c-\x1f\\]")
_CONTROL = re.compile(rb"[\x00-\x1a\x1c-\x1f]")
_GRAPHIC = re.compile(rb"[\x21-\x7e]+")
_RUN = re.compile(rb"[\x21-\x7e]+|[\x80-\xff]+|[^\x21-\x7e\x80-\xff]+")
_CHARACTER = re.compile(rb".{1,2}", re.DOTALL)
_LOWERED = bytes(byte & 0x7F for byte in range(256))
_RAISED = bytes(byte | 0x80 for byte in range(256))  # from G0 to where codecs have the set
_SINGLE_BYTE = (ASCII, ROMAJI)


def decode(value: bytes, vr: str, repertoire: Repertoire) -> str:
    """Return the text of a value, of several values too; never raises."""
    reset = _RESETS.get(vr, _RESET)
    g0, g1 = repertoire.g0, repertoire.g1
    text = []
    for fragment in _FRAGMENT.findall(value):
        body, found = _designated(fragment)
        if found is not None:
            g0, g1 = (found, g1) if found.is_g0 else (g0, found)
            g1 = KANA if found is ROMAJI and g1 is None else g1  # the other half of JIS X 0201
        if g0 not in _SINGLE_BYTE:
            control = _CONTROL.search(body)
            end = control.start() if control else len(body)
            text.append(_in_g0(body[:end], g0, g1.codec if g1 else "ascii"))
            body = body[end:]
            if not body:
                continue
            g0, g1 = repertoire.g0, repertoire.g1
        if g1 is not repertoire.g1 and (delimiter := reset.search(body)):
            text.append(read(body[: delimiter.start()], _codec(g1, repertoire)))
            body, g1 = body[delimiter.start() :], repertoire.g1
        text.append(read(body, _codec(g1, repertoire)))
    return "".join(text)


def _designated(fragment: bytes) -> tuple[bytes, GraphicSet | None]:
    """Take a known escape sequence off a fragment; an unknown one stays in the text."""
    if fragment[:1] == b"\x1b":
        length = 4 if fragment[1:3] in _LONG_ESCAPES else 3
        if found := DESIGNATIONS.get(fragment[:length]):
            return fragment[length:], found
    return fragment, None


def _codec(g1: GraphicSet | None, repertoire: Repertoire) -> str:
    return repertoire.codec if g1 is repertoire.g1 or g1 is None else g1.codec


def _in_g0(value: bytes, g0: GraphicSet, upper: str) -> str:
    """Decode bytes without control characters while another set than ASCII is in G0."""
    if _GRAPHIC.fullmatch(value):
        return _lower(value, g0)
    return "".join(
        _lower(run, g0) if 0x21 <= run[0] <= 0x7E else read(run, upper) for run in _RUN.findall(value)
    )


def _lower(run: bytes, g0: GraphicSet) -> str:
    raised = run.translate(_RAISED)
    if g0.shift:
        raised = b"".join(g0.shift + character for character in _CHARACTER.findall(raised))
    if g0.codec != "euc_jp" or g0.shift:
        return read(raised, g0.codec)
    try:
        return raised.decode("euc_jp")
    except UnicodeDecodeError:
        return b"".join(map(_shifted, _CHARACTER.findall(run))).decode("cp932", "replace")


def _shifted(pair: bytes) -> bytes:
    """Return a character of JIS X 0208 in Shift JIS, which has those that NEC and IBM have added to it."""
    if len(pair) < 2:
        return b"\x81"  # half a character, which ends the text
    row, cell = pair
    first = (row - 0x21 >> 1) + (0x81 if row < 0x5F else 0xC1)
    return bytes((first, cell + (0x1F if cell < 0x60 else 0x20) if row & 1 else cell + 0x7E))


def encode(text: str, vr: str, repertoire: Repertoire) -> bytes | None:
    """Return the bytes of a text, or None if the sets lack a character of it.

    Text with escape characters may read differently afterwards; who encodes such has to compare.
    """
    writer = _Writer(repertoire, "\\^=" if vr == "PN" else "\\")
    if not all(map(writer.take, text)):
        return None
    writer.restore()
    return b"".join(writer.parts)


class _Writer:
    """Writes character by character, changing sets as seldom as can be."""

    def __init__(self, repertoire: Repertoire, delimiters: str) -> None:
        self._repertoire = repertoire
        self._delimiters = delimiters
        g1 = repertoire.g1
        self._first_g1 = None if g1 is None or g1.bytes_per_character > 1 else g1
        self._g0, self._g1 = repertoire.g0, self._first_g1
        self.parts: list[bytes] = []

    def take(self, char: str) -> bool:
        """Write a character; return whether that is possible."""
        if char.isascii():
            if char < " " or char in self._delimiters:
                self.restore()
            self._in_g0(self._repertoire.g0)
            self.parts.append(char.encode("ascii"))
            return True
        current = (self._g1, self._g0) if self._g0 is self._repertoire.g0 else (self._g0, self._g1)
        for one in (*current, *self._repertoire.sets):
            raw = _encoded(char, one) if one is not None else None
            if one is not None and raw is not None:
                self._designate(one)
                self.parts.append(raw)
                return True
        return False

    def restore(self) -> None:
        """Put the sets of value 1 in force again (PS3.5 6.1.2.5.3)."""
        self._in_g0(self._repertoire.g0)
        if self._g1 is not self._first_g1:
            self._g1 = self._first_g1
            if self._g1 is not None:
                self.parts.append(self._g1.escape)

    def _designate(self, one: GraphicSet) -> None:
        if one.is_g0:
            self._in_g0(one)
            return
        self._in_g0(self._repertoire.g0)
        if one is not self._g1:
            self._g1 = one
            self.parts.append(one.escape)

    def _in_g0(self, one: GraphicSet) -> None:
        if one is not self._g0:
            self._g0 = one
            self.parts.append(one.escape)
            if self._g1 is not self._first_g1:
                self._g1 = None


@lru_cache(maxsize=8192)
def _encoded(char: str, one: GraphicSet) -> bytes | None:
    """Return a character in this set, None if it is not in there."""
    raw = written(char, one.codec)
    if raw is None:
        return None
    is_shifted = raw.startswith(one.shift)
    raw, lowest = raw.removeprefix(one.shift), 0x80 if one.bytes_per_character == 1 else 0xA1
    if not is_shifted or len(raw) != one.bytes_per_character or min(raw) < lowest:
        return None
    return raw.translate(_LOWERED) if one.is_g0 else raw
