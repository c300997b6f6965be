"""Specific Character Set: text to bytes and back (PS3.5 6.1, PS3.3 C.12.1.1.2).

`character_sets` is the table, `iso_2022` switches between sets, Python's codecs do the rest. pydicom's functions are
not called, since what they do with bad input depends on its global configuration and on warnings. Here nothing warns
and decoding never fails:

- A character set that is misspelt is understood where it can be (`ISO IR 100`, `iso_ir_192 `, `UTF-8`), else
  taken for the default repertoire. Names from a data set are never handed to `codecs.lookup`, which knows
  slow codecs.
- Bytes above 127 in the default repertoire are read as Latin-1, as pydicom does: most such devices are
  Western. One that is not can be given a default (`character_sets.CharacterSetRule`).
- Characters that Windows has added to a national character set are read (CP949, CP932, GB18030), never written.
- Bytes that mean nothing in their character set become U+FFFD, one or more in each place: marked, never left
  out in silence. The object keeps the original.
"""

import unicodedata

from pacsnode.dicom import iso_2022
from pacsnode.dicom.character_sets import KANA, repertoire
from pacsnode.dicom.codec import read, written
from pacsnode.dicom.folding import folded, folded_pattern

__all__ = ["decode", "encode", "folded", "folded_pattern", "normalized"]


def decode(value: bytes, vr: str, character_sets: tuple[str, ...]) -> str:
    """Return the text of a whole value, of several values too; never raises."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    found = repertoire(character_sets)
    if found.is_stand_alone or b"\x1b" not in value:
        return read(value, found.codec)
    return iso_2022.decode(value, vr, found)


def encode(text: str, vr: str, character_sets: tuple[str, ...]) -> bytes | None:
    """Return the bytes of a text, or None if it can't be written such that it is read back the same."""
    is_plain = "\x1b" not in text
    if is_plain and text.isascii():
        return text.encode("ascii")
    found = repertoire(character_sets)
    is_one_codec = found.g1 not in (None, KANA) and found.g1.bytes_per_character == 1
    if found.is_stand_alone or (is_one_codec and is_plain):
        value = written(text, found.codec)
        if value is not None or len(found.sets) <= 2:  # ASCII and this one
            return value
    value = iso_2022.encode(text, vr, found)
    return value if is_plain or value is None or decode(value, vr, character_sets) == text else None


def normalized(text: str) -> str:
    """Return text as it is compared where it is not folded: `é` is one character, however it was sent (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
