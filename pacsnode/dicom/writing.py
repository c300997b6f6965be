"""Data elements to bytes, in one encoding (PS3.5 7.1): what answers are made of.

Lengths are always defined, those of sequences and items too. A value of more than 65,534 bytes is cut, in
implicit VR and in VRs with 32 bits of length too; one that cannot be written in its VR (a US that is no
number, letters beyond ASCII in a UID) has zero length.
"""

import re
from collections.abc import Mapping, Sequence

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from pacsnode.dicom import charset
from pacsnode.dicom.catalogue import CHARACTER_SET_VRS, Attribute
from pacsnode.dicom.character_sets import repertoire
from pacsnode.dicom.encoding import Encoding

MAX_VALUE_BYTES = 65_534  # the longest even 16-bit length (PS3.5 7.1.2)

_SPECIFIC_CHARACTER_SET = 0x00080005
_TABLED_LENGTHS = 1024  # longer values take the slow way
_UNSIGNED = re.compile(r"[0-9]{1,5}", re.ASCII)


class Writer:
    """Writes elements in one encoding."""

    def __init__(self, how: Encoding) -> None:
        self._is_implicit = how.is_implicit
        self._order = how.order.name
        self._item_tag = how.order.item
        self._short = tuple(self.length(number, "US") for number in range(_TABLED_LENGTHS))
        self._long = tuple(self.length(number, "UT") for number in range(_TABLED_LENGTHS))

    def lengths(self, vr: str) -> tuple[bytes, ...]:
        """Return `length` of small numbers as a table."""
        return self._long if self._has_long_length(vr) else self._short

    def length(self, number: int, vr: str) -> bytes:
        """Return a length as it stands before a value of this VR."""
        return number.to_bytes(4 if self._has_long_length(vr) else 2, self._order)

    def head(self, tag: int, vr: str) -> bytes:
        """Return an element up to its length."""
        group, element = (number.to_bytes(2, self._order) for number in (tag >> 16, tag & 0xFFFF))
        if self._is_implicit:
            return group + element
        return group + element + vr.encode("ascii") + (b"\0\0" if vr in EXPLICIT_VR_LENGTH_32 else b"")

    def element(self, tag: int, vr: str, raw: bytes) -> bytes:
        """Return an element with a value, which is padded to even length."""
        raw += padding(vr) * (len(raw) & 1)
        return self.head(tag, vr) + self.length(len(raw), vr) + raw

    def character_set(self, character_sets: tuple[str, ...]) -> bytes:
        """Return (0008,0005), nothing for the default repertoire (PS3.3 C.12.1.1.2)."""
        if repertoire(character_sets).is_default:
            return b""
        names = "\\".join(character_sets)
        return self.element(_SPECIFIC_CHARACTER_SET, "CS", names.encode("ascii", "replace"))

    def value(self, text: str, vr: str, character_sets: tuple[str, ...]) -> bytes | None:
        """Return a value, None if the character sets lack a character of it."""
        if vr == "US":
            return self.unsigned(text)
        if vr not in CHARACTER_SET_VRS:
            return text[:MAX_VALUE_BYTES].encode("ascii") if text.isascii() else b""
        raw = charset.encode(text, vr, character_sets)
        while raw is not None and len(raw) > MAX_VALUE_BYTES:
            text = text[: len(text) * MAX_VALUE_BYTES // len(raw)]
            raw = charset.encode(text, vr, character_sets)
        return raw

    def unsigned(self, text: str) -> bytes:
        """Return a US, empty if the text is none or too long."""
        if len(text) > 5 * _TABLED_LENGTHS:
            return b""
        numbers = text.split("\\")
        if not all(_UNSIGNED.fullmatch(number) and int(number) <= 0xFFFF for number in numbers):
            return b""
        return b"".join(int(number).to_bytes(2, self._order) for number in numbers)

    def items(
        self,
        items: Sequence[Mapping[str, object]],
        attributes: tuple[Attribute, ...],
        character_sets: tuple[str, ...],
    ) -> bytes | None:
        """Return the value of a sequence with these attributes of its items, None as in `value`.

        An item has each of the attributes, with zero length where it has no value (PS3.4 C.2.2.2.6).
        """
        parts = [self._item(item, attributes, character_sets) for item in items]
        return b"".join(part for part in parts if part) if None not in parts else None

    def _item(
        self, item: Mapping[str, object], attributes: tuple[Attribute, ...], character_sets: tuple[str, ...]
    ) -> bytes | None:
        content = b""
        for attribute in sorted(attributes, key=lambda one: one.tag):
            raw = self._value_of(attribute, item.get(attribute.keyword), character_sets)
            if raw is None:
                return None
            content += self.element(attribute.tag, attribute.vr, raw)
        return self._item_tag + len(content).to_bytes(4, self._order) + content

    def _value_of(self, attribute: Attribute, value: object, character_sets: tuple[str, ...]) -> bytes | None:
        if isinstance(value, list):
            return self.items(value, attribute.items, character_sets)
        return self.value(value, attribute.vr, character_sets) if isinstance(value, str) and value else b""

    def _has_long_length(self, vr: str) -> bool:
        return self._is_implicit or vr in EXPLICIT_VR_LENGTH_32


def padding(vr: str) -> bytes:
    """Return what makes a value's length even (PS3.5 6.2)."""
    return b"\0" if vr == "UI" else b" "
