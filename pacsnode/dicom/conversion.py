"""From the raw value of an attribute to the text that the index keeps.

Text is decoded and without padding; several values are joined by a backslash. Dates and times are normalised
(no dots, no colons), and text is composed (NFC); only names are as sent, since they are compared folded. What a
device has sent in excess is cut. A sequence becomes the JSON text of an array of its items, which are objects
of keyword and text, or of keyword and array for a sequence in the item.
"""

import json
from collections.abc import Callable
from functools import lru_cache

from pacsnode.dicom import charset
from pacsnode.dicom.catalogue import CHARACTER_SET_VRS, INDENTED_VRS, Attribute, sequences_in
from pacsnode.dicom.encoding import Encoding
from pacsnode.dicom.items import items_of

MAX_CHARACTERS = 1024  # a longer value is cut for the index: sixteen times what LO may have (PS3.5 6.2)
MAX_CHARACTERS_LT = 10240

CharacterSets = tuple[str, ...]
Conversion = Callable[[bytes, CharacterSets, Encoding], str]

_PADDING = " \0"
_SPECIFIC_CHARACTER_SET = 0x00080005
_BYTES_PER_CHARACTER = 8  # at most, escape sequences included; a value is cut to that before it is decoded


def conversion(attribute: Attribute, *, is_overridden: bool = False) -> Conversion:
    """Return how the raw value of an attribute becomes the text that the index keeps.

    If the character sets are overridden, those that an item says of itself do not count either.
    """
    if attribute.vr == "SQ":
        return _Sequence(attribute, is_overridden=is_overridden)
    if attribute.vr == "US":
        return _numbers if attribute.multi_valued else _number
    text = _text_conversion(attribute.vr)
    if attribute.vr == "DA":
        return lambda raw, sets, how: _date(text(raw, sets, how))
    if attribute.vr == "TM":
        return lambda raw, sets, how: text(raw, sets, how).replace(":", "")
    if attribute.multi_valued:
        return lambda raw, sets, how: _several(text(raw, sets, how))
    return text


@lru_cache(maxsize=256)
def character_sets_of(raw: bytes) -> CharacterSets:
    """Return the values of (0008,0005), empty for the default repertoire."""
    names = tuple(name.strip(_PADDING) for name in raw.decode("latin-1").split("\\"))
    return names if any(names) else ()


class _Sequence:
    """The conversion of a sequence. Items without any attribute of the table are left out."""

    def __init__(self, attribute: Attribute, *, is_overridden: bool) -> None:
        self._is_overridden = is_overridden
        self._conversions = {
            one.tag: (one.keyword, conversion(one, is_overridden=is_overridden)) for one in attribute.items
        }
        self._wanted = frozenset((*self._conversions, _SPECIFIC_CHARACTER_SET))
        self._sequences = sequences_in(attribute.items)
        self._last_tag = max(self._wanted)

    def __call__(self, raw: bytes, character_sets: CharacterSets, how: Encoding) -> str:
        items = self.items(raw, character_sets, how)
        return json.dumps(items, ensure_ascii=False, separators=(",", ":")) if items else ""

    def items(self, raw: bytes, character_sets: CharacterSets, how: Encoding) -> list[dict[str, object]]:
        found = []
        for item in items_of(raw, how, self._wanted, self._last_tag, self._sequences):
            own = item.values.pop(_SPECIFIC_CHARACTER_SET, b"")[:256]
            said = () if self._is_overridden else character_sets_of(own)
            sets = said or character_sets  # PS3.5 7.5.3
            values: dict[str, object] = {}
            for tag, value in item.values.items():
                keyword, convert = self._conversions[tag]
                if isinstance(convert, _Sequence):
                    values[keyword] = convert.items(value, sets, item.encoding)
                else:
                    values[keyword] = convert(value, sets, item.encoding)
            found.append({keyword: value for keyword, value in values.items() if value})
        return [item for item in found if item]


def _text_conversion(vr: str) -> Conversion:
    limit = MAX_CHARACTERS_LT if vr == "LT" else MAX_CHARACTERS
    limit_bytes = limit * _BYTES_PER_CHARACTER
    is_governed, leading = vr in CHARACTER_SET_VRS, "" if vr in INDENTED_VRS else _PADDING
    normalized = str if vr == "PN" else charset.normalized

    def convert(raw: bytes, character_sets: CharacterSets, how: Encoding) -> str:  # noqa: ARG001
        text = charset.decode(raw[:limit_bytes], vr, character_sets if is_governed else ())
        # A NUL within a text is a space: SQLite's GLOB and JSON would take it for the end.
        return normalized(text.rstrip(_PADDING).lstrip(leading)[:limit]).replace("\0", " ")

    return convert


def _number(raw: bytes, character_sets: CharacterSets, how: Encoding) -> str:  # noqa: ARG001
    """Return a US as decimal text; four bytes are taken for a UL, any other length for no number."""
    return str(int.from_bytes(raw, how.order.name)) if len(raw) in (2, 4) else ""


def _numbers(raw: bytes, character_sets: CharacterSets, how: Encoding) -> str:  # noqa: ARG001
    if len(raw) % 2:
        return ""
    return "\\".join(str(how.order.uint16(raw, at)) for at in range(0, min(len(raw), MAX_CHARACTERS), 2))


def _date(text: str) -> str:
    """Turn the form of ACR-NEMA, `2020.01.15` (PS3.5 6.2), into that of DICOM."""
    return text.replace(".", "") if len(text) == 10 and text[4] == text[7] == "." else text


def _several(text: str) -> str:
    if "\\" not in text:
        return text
    values = [value.strip(_PADDING) for value in text.split("\\")]
    return "\\".join(values) if any(values) else ""
