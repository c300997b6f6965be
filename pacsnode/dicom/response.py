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

Rows whose times were brought into the requester's zone (`zones.Zoned`) name it, in (0008,0201).

Of a sequence the items are answered that match, with the attributes that are asked for (PS3.4 C.2.2.2.6). A
private attribute is answered in the block that the requester has it in. How values are written, and what
becomes of those that cannot be, is in `writing`.
"""

import zlib
from typing import NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from pacsnode.dicom import charset, encoding, temporal, uid
from pacsnode.dicom.attributes import (
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    TIMEZONE_OFFSET_FROM_UTC,
    Attribute,
)
from pacsnode.dicom.character_sets import are_defined
from pacsnode.dicom.matching import matching_items
from pacsnode.dicom.query import Query
from pacsnode.dicom.writing import Writer, padding
from pacsnode.dicom.zones import is_adjusted

UNICODE = ("ISO_IR 192",)

_BINARY_VRS = frozenset(("SQ", "US"))


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
        self._query = query
        self._is_deflated = uid.is_deflated(transfer_syntax_uid)
        self._writer = Writer(encoding.declared(transfer_syntax_uid))
        constants = {QUERY_RETRIEVE_LEVEL: ("CS", query.level.name)}
        if query.asks_retrieve_ae_title:
            constants[RETRIEVE_AE_TITLE] = ("AE", retrieve_ae_title)
        if query.asks_instance_availability:
            constants[INSTANCE_AVAILABILITY] = ("CS", "ONLINE")
        if query.timezone is not None and any(map(is_adjusted, query.returned)):
            constants[TIMEZONE_OFFSET_FROM_UTC] = ("SH", temporal.offset_text(query.timezone))
        constants |= _creators(query.returned)
        elements = {
            tag: self._writer.element(tag, vr, text.encode("ascii", "replace"))
            for tag, (vr, text) in constants.items()
        }
        if returns_unknown_keys:
            elements |= {tag: self._writer.element(tag, _vr(tag), b"") for tag in query.unsupported}
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
        parts = [self._ascii_start]
        try:
            for field, value in zip(self._fields, row, strict=False):
                head, empty, lengths, padding, vr, _ = field
                if not value:
                    parts.append(empty)
                    continue
                raw = value.encode("ascii") if vr not in _BINARY_VRS else self._value(field, value, ())
                if raw is None:
                    return None
                if len(raw) & 1:
                    raw += padding
                parts += (head, lengths[len(raw)], raw) if raw else (empty,)
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
        for field, value in zip(self._fields, row, strict=False):
            raw = self._value(field, value, character_sets) if value else b""
            if raw is None:
                return None
            raw += field.padding * (len(raw) & 1)
            length = self._writer.length(len(raw), field.vr)
            parts.append(field.head + length + raw if raw else field.empty)
        return b"".join((*parts, self._tail))

    def _value(self, field: "_Field", text: str, character_sets: tuple[str, ...]) -> bytes | None:
        if field.vr != "SQ":
            return self._writer.value(text, field.vr, character_sets)
        items = matching_items(self._query, field.attribute, text)
        return self._writer.items(items, field.attribute.items, character_sets)


class _Field(NamedTuple):
    """What stands around a value: all before its length, the same with length zero, lengths, and the padding."""

    head: bytes
    empty: bytes
    lengths: tuple[bytes, ...]
    padding: bytes
    vr: str
    attribute: Attribute


def _planned(
    returned: tuple[Attribute, ...], constants: dict[int, bytes], writer: Writer
) -> tuple[tuple[_Field, ...], bytes]:
    """Return a field for each attribute, with the constants that go before it, and those at the end."""
    elements = sorted(constants.items())
    fields, below = [], 0
    for attribute in returned:
        before = b"".join(element for tag, element in elements if below <= tag < attribute.tag)
        below = attribute.tag
        head = before + writer.head(attribute.tag, attribute.vr)
        vr = attribute.vr
        empty, lengths = head + writer.length(0, vr), writer.lengths(vr)
        fields.append(_Field(head, empty, lengths, padding(vr), vr, attribute))
    return tuple(fields), b"".join(element for tag, element in elements if tag >= below)


def _creators(returned: tuple[Attribute, ...]) -> dict[int, tuple[str, str]]:
    """Return who has reserved the blocks that private attributes are answered in (PS3.5 7.8.1)."""
    private = (one for one in returned if one.creator)
    return {one.tag & 0xFFFF0000 | one.tag >> 8 & 0xFF: ("LO", one.creator) for one in private}


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
