"""C-FIND response Identifiers, straight to bytes (PS3.4 C.4.1.1.3.2, PS3.5 7.1).

An encoder is made once for a query and called for each row. Everything that is the same in all answers (tags,
VRs, the level, Retrieve AE Title, availability) is put together beforehand, in front of the value that
follows it in tag order, so that a row costs one encoding and one length for each value. Most rows are plain
ASCII, which is the same in every character set of the Standard; `encode` tries that first and looks at
character sets only if it fails.

The character set of an answer is the peer's override; else the requester's if it represents all text of the
row; else the one that the entity was stored in; else ISO_IR 192. Misspelt names are never repeated: such a
choice is passed over. Under an override that lacks a character the character becomes `?`. (0008,0005) is in
each answer that is not in the default repertoire.

Text that does not fit: a value of more than 65,534 bytes is cut, in implicit VR too; one that cannot be
written in its VR (a US that is no number, letters beyond ASCII in a UID) has zero length.
"""

import re
import zlib
from typing import NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from pacsnode.dicom import charset, encoding, uid
from pacsnode.dicom.attributes import (
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    Attribute,
)
from pacsnode.dicom.character_sets import are_defined, repertoire
from pacsnode.dicom.keys import CHARACTER_SET_VRS
from pacsnode.dicom.query import Query

MAX_VALUE_BYTES = 65_534  # the longest even 16-bit length (PS3.5 7.1.2)
UNICODE = ("ISO_IR 192",)

_TABLED_LENGTHS = 1024  # longer values take the slow way
_UNSIGNED = re.compile(r"[0-9]{1,5}", re.ASCII)


class ResponseEncoder:
    """Encodes the rows that answer one query; may be used from several threads.

    A row has the values of `query.returned` in their order, then the entity's character sets joined by a
    backslash (`index.base.Row`).
    """

    def __init__(
        self,
        query: Query,
        *,
        transfer_syntax_uid: str,
        retrieve_ae_title: str,
        character_sets: tuple[str, ...] | None = None,
        returns_unknown_keys: bool = False,
    ) -> None:
        """`character_sets` overrides the requester's; `returns_unknown_keys` answers unsupported keys, empty."""
        self._override = character_sets
        self._asked = query.character_sets
        self._is_deflated = uid.is_deflated(transfer_syntax_uid)
        self._writer = _Writer(encoding.declared(transfer_syntax_uid))
        constants = {QUERY_RETRIEVE_LEVEL: ("CS", query.level.name)}
        if query.asks_retrieve_ae_title:
            constants[RETRIEVE_AE_TITLE] = ("AE", retrieve_ae_title)
        if query.asks_instance_availability:
            constants[INSTANCE_AVAILABILITY] = ("CS", "ONLINE")
        elements = {tag: self._writer.element(tag, vr, text) for tag, (vr, text) in constants.items()}
        if returns_unknown_keys:
            elements |= {tag: self._writer.empty(tag, _vr(tag)) for tag in query.unsupported}
        self._fields, self._tail = _planned(query.returned, elements, self._writer)
        first = query.character_sets if character_sets is None else character_sets
        is_first_choice = character_sets is not None or are_defined(first)
        self._ascii_start = self._writer.character_set(first) if is_first_choice else None

    def encode(self, row: tuple[str | None, ...]) -> bytes:
        """Return the Identifier that answers with one row, deflated if the transfer syntax is."""
        data_set = self._in_ascii(row) or self._in_any(row)
        return _deflated(data_set) if self._is_deflated else data_set

    def _in_ascii(self, row: tuple[str | None, ...]) -> bytes | None:
        """Return the answer in the first choice of character sets if all is short and ASCII, else None."""
        if self._ascii_start is None:
            return None
        parts, lengths = [self._ascii_start], self._writer.lengths
        try:
            for (head, empty, padding, vr), value in zip(self._fields, row, strict=False):
                if not value:
                    parts.append(empty)
                    continue
                raw = value.encode("ascii") if vr != "US" else self._writer.unsigned(value)
                if len(raw) & 1:
                    raw += padding
                parts += (head, lengths[len(raw)], raw)
        except (UnicodeEncodeError, IndexError):
            return None
        parts.append(self._tail)
        data_set = b"".join(parts)
        # Text with an escape character is for `charset` to judge. A US may have this byte too: no harm done.
        return None if b"\x1b" in data_set else data_set

    def _in_any(self, row: tuple[str | None, ...]) -> bytes:
        for character_sets in self._choices(row[-1]):
            data_set = self._in(character_sets, row)
            if data_set is not None:
                return data_set
        last_resort = UNICODE if self._override is None else self._override
        return self._in(last_resort, tuple(_representable(value, last_resort) for value in row[:-1])) or b""

    def _choices(self, stored: str | None) -> list[tuple[str, ...]]:
        if self._override is not None:
            return [self._override]
        stored_sets = tuple(stored.split("\\")) if stored else ()
        return [*filter(are_defined, (self._asked, stored_sets)), UNICODE]

    def _in(self, character_sets: tuple[str, ...], row: tuple[str | None, ...]) -> bytes | None:
        """Return the answer in these character sets, None if they lack a character of it."""
        parts = [self._writer.character_set(character_sets)]
        for (head, empty, padding, vr), value in zip(self._fields, row, strict=False):
            raw = self._value(value, vr, character_sets) if value else b""
            if raw is None:
                return None
            raw += padding * (len(raw) & 1)
            parts.append(head + self._writer.length(len(raw)) + raw if raw else empty)
        return b"".join((*parts, self._tail))

    def _value(self, text: str, vr: str, character_sets: tuple[str, ...]) -> bytes | None:
        if vr == "US":
            return self._writer.unsigned(text)
        if vr not in CHARACTER_SET_VRS:
            return text[:MAX_VALUE_BYTES].encode("ascii") if text.isascii() else b""
        raw = charset.encode(text, vr, character_sets)
        while raw is not None and len(raw) > MAX_VALUE_BYTES:
            text = text[: len(text) * MAX_VALUE_BYTES // len(raw)]
            raw = charset.encode(text, vr, character_sets)
        return raw


class _Field(NamedTuple):
    """What stands around a value: all before its length, the same with length zero, and the padding."""

    head: bytes
    empty: bytes
    padding: bytes
    vr: str


class _Writer:
    """Elements in one encoding. All VRs of the table have 16 bits of length (PS3.5 7.1.2)."""

    def __init__(self, how: encoding.Encoding) -> None:
        self._is_implicit = how.is_implicit
        self._order = how.order.name
        self.lengths = tuple(self.length(number) for number in range(_TABLED_LENGTHS))

    def length(self, number: int) -> bytes:
        return number.to_bytes(4 if self._is_implicit else 2, self._order)

    def head(self, tag: int, vr: str) -> bytes:
        """Return an element up to its length."""
        group, element = (number.to_bytes(2, self._order) for number in (tag >> 16, tag & 0xFFFF))
        return group + element + (b"" if self._is_implicit else vr.encode("ascii"))

    def element(self, tag: int, vr: str, text: str) -> bytes:
        """Return an element of a few ASCII characters."""
        raw = text.encode("ascii", "replace")
        raw += b" " * (len(raw) & 1)
        return self.head(tag, vr) + self.length(len(raw)) + raw

    def empty(self, tag: int, vr: str) -> bytes:
        """Return an element of zero length, of any VR (PS3.5 7.1.2)."""
        if self._is_implicit or vr not in EXPLICIT_VR_LENGTH_32:
            return self.head(tag, vr) + self.length(0)
        return self.head(tag, vr) + bytes(6)

    def character_set(self, character_sets: tuple[str, ...]) -> bytes:
        """Return (0008,0005), nothing for the default repertoire (PS3.3 C.12.1.1.2)."""
        if repertoire(character_sets).is_default:
            return b""
        return self.element(SPECIFIC_CHARACTER_SET, "CS", "\\".join(character_sets))

    def unsigned(self, text: str) -> bytes:
        """Return a US, empty if the text is none or too long."""
        if len(text) > 5 * _TABLED_LENGTHS:
            return b""
        numbers = text.split("\\")
        if not all(_UNSIGNED.fullmatch(number) and int(number) <= 0xFFFF for number in numbers):
            return b""
        return b"".join(int(number).to_bytes(2, self._order) for number in numbers)


def _planned(
    returned: tuple[Attribute, ...], constants: dict[int, bytes], writer: _Writer
) -> tuple[tuple[_Field, ...], bytes]:
    """Return a field for each attribute, with the constants that go before it, and those at the end."""
    elements = sorted(constants.items())
    fields, below = [], 0
    for attribute in returned:
        before = b"".join(element for tag, element in elements if below <= tag < attribute.tag)
        below = attribute.tag
        head = before + writer.head(attribute.tag, attribute.vr)
        padding = b"\0" if attribute.vr == "UI" else b" "  # PS3.5 6.2
        fields.append(_Field(head, head + writer.length(0), padding, attribute.vr))
    return tuple(fields), b"".join(element for tag, element in elements if tag >= below)


def _vr(tag: int) -> str:
    """Return the VR of any attribute; the first where the dictionary names several, UN for unknown ones."""
    return dictionary_VR(tag)[:2] if dictionary_has_tag(tag) else "UN"


def _representable(text: str | None, character_sets: tuple[str, ...]) -> str | None:
    """Return the text with `?` for all that the character sets lack."""
    if text is None:
        return None
    return "".join("?" if charset.encode(char, "LO", character_sets) is None else char for char in text)


def _deflated(data_set: bytes) -> bytes:
    """Return the data set deflated, of even length (PS3.5 A.5)."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data_set) + deflater.flush()
    return deflated + b"\0" * (len(deflated) & 1)
