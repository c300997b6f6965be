"""When two arrivals of one SOP Instance UID are the same instance.

Same transfer syntax: byte-equal data sets. Different transfer syntaxes that both carry plain elements
(implicit, explicit, big endian, deflated): equal elements, group lengths and trailing padding aside. Anything
else would need the pixels decoded, which a worker never does: it counts as different, and the policy for
duplicates decides.

Elements are compared by a digest of them in one form: tags and values in little endian, items and sequences
with their ends, without VRs and without the lengths of what nests. Each data set is read once, in pieces.
What cannot be followed is not shown to be equal: a Success for it could lose the only copy.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from pydicom.datadict import dictionary_VR

from pacsnode.dicom.encoding import (
    DELIMITERS,
    ITEM,
    ITEM_DELIMITATION,
    LITTLE_ENDIAN,
    LONG_VRS,
    SEQUENCE_DELIMITATION,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    WORD_BYTES,
    ByteOrder,
    declared,
    turned_round,
)
from pacsnode.dicom.nesting import MAX_DEPTH
from pacsnode.dicom.part10 import parse_meta
from pacsnode.dicom.uid import is_deflated, is_encapsulated
from pacsnode.errors import RequestError, UnreadableDataSet
from pacsnode.storage.base import Readable
from pacsnode.storage.reading import bytes_of, chunks_of

_MAX_DECODED_BYTES = 256 << 20
_MAX_ELEMENTS = 1_000_000  # about two seconds
_META_BYTES = 4096
_PIECE_BYTES = 64 << 10  # a multiple of every word
_DATA_SET_TRAILING_PADDING = 0xFFFCFFFC
_ITEM_TAG, _ITEM_BYTES = b"\xfe\xff\x00\xe0", 8


def same_bytes(first: Readable, second: Readable, data_set_length: int) -> bool:
    """Return whether the last `data_set_length` bytes of two files are equal; the file meta may differ."""
    firsts = chunks_of(first, first.length - data_set_length)
    seconds = chunks_of(second, second.length - data_set_length)
    return all(a == b for a, b in zip(firsts, seconds, strict=True))


def is_comparable(first_transfer_syntax_uid: str, second_transfer_syntax_uid: str, longest: int) -> bool:
    """Return whether two data sets in different transfer syntaxes can be compared by their elements."""
    encapsulated = is_encapsulated(first_transfer_syntax_uid) or is_encapsulated(second_transfer_syntax_uid)
    return not encapsulated and longest <= _MAX_DECODED_BYTES


def same_elements(first: Readable, second: Readable) -> bool:
    """Return whether two Part 10 files in comparable transfer syntaxes have equal elements."""
    try:
        return _digest(first) == _digest(second)
    except RequestError:
        return False


def _digest(readable: Readable) -> bytes:
    meta = parse_meta(bytes_of(readable, min(_META_BYTES, readable.length), 0))
    chunks = chunks_of(readable, meta.data_set_offset)
    if is_deflated(meta.transfer_syntax_uid):
        chunks = _inflated(chunks)
    encoding = declared(meta.transfer_syntax_uid)
    return _Walk(_Source(chunks), encoding.order, is_implicit=encoding.is_implicit).digest()


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for chunk in chunks:
            rest = chunk
            while rest and not inflater.eof:
                yield inflater.decompress(rest, _PIECE_BYTES)
                rest = inflater.unconsumed_tail
        while piece := inflater.decompress(b"", _PIECE_BYTES):
            yield piece
    except zlib.error as error:
        raise UnreadableDataSet(f"the deflated data set is damaged: {error}") from error
    if not inflater.eof:
        raise UnreadableDataSet("the deflated data set ends early")


class _Source:
    """The bytes of a data set, read forward."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk, self._at = b"", 0
        self.position = 0

    def is_at_end(self) -> bool:
        while self._at == len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._chunk, self._at = chunk, 0
        return False

    def peek(self, length: int) -> bytes:
        """Return the next bytes, fewer at the end, without reading on."""
        while len(self._chunk) - self._at < length:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._chunk, self._at = self._chunk[self._at :] + chunk, 0
        return self._chunk[self._at : self._at + length]

    def read(self, length: int) -> bytes:
        parts, missing = [], length
        while missing:
            if self.is_at_end():
                raise UnreadableDataSet("the data set ends within an element")
            part = self._chunk[self._at : self._at + missing]
            self._at += len(part)
            missing -= len(part)
            parts.append(part)
        self.position += length
        if self.position > _MAX_DECODED_BYTES:
            raise UnreadableDataSet(f"the data set is longer than {_MAX_DECODED_BYTES} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Container:
    """An open sequence or item, or the data set itself. `end` is None where a delimiter ends it."""

    is_sequence: bool
    end: int | None
    order: ByteOrder
    is_implicit: bool


class _Walk:
    """Goes through a data set once, without recursion, and hashes what it finds."""

    def __init__(self, source: _Source, order: ByteOrder, *, is_implicit: bool) -> None:
        self._source = source
        self._hash = sha256()
        self._open = [_Container(is_sequence=False, end=None, order=order, is_implicit=is_implicit)]

    def digest(self) -> bytes:
        for _ in range(_MAX_ELEMENTS):
            self._close_ended()
            if self._source.is_at_end():
                if len(self._open) > 1:
                    raise UnreadableDataSet("the data set ends within a sequence")
                return self._hash.digest()
            self._step()
        raise UnreadableDataSet(f"more than {_MAX_ELEMENTS} elements")

    def _close_ended(self) -> None:
        while (end := self._open[-1].end) is not None and self._source.position >= end:
            if self._source.position > end:
                raise UnreadableDataSet("an element overruns what it lies in")
            self._close(is_sequence=self._open[-1].is_sequence)

    def _close(self, *, is_sequence: bool) -> None:
        if len(self._open) == 1 or self._open[-1].is_sequence is not is_sequence:
            raise UnreadableDataSet("a delimiter where nothing is open")
        self._open.pop()
        self._hash.update(b"s" if is_sequence else b"i")

    def _step(self) -> None:
        inside = self._open[-1]
        tag, vr, length = self._header(inside)
        if tag >> 16 == DELIMITERS:
            self._structure(tag, length, inside)
        elif inside.is_sequence:
            raise UnreadableDataSet("an element between items")
        elif self._is_sequence(tag, vr, length, inside.order):
            is_implicit = inside.is_implicit or vr == b"UN"  # PS3.5 6.2.2, note 2
            self._hash.update(b"S" + tag.to_bytes(4))
            order = LITTLE_ENDIAN if is_implicit else inside.order
            self._enter(length, is_sequence=True, order=order, is_implicit=is_implicit)
        else:
            self._value(tag, vr, length, inside)

    def _header(self, inside: _Container) -> tuple[int, bytes, int]:
        """Return tag, VR (b"" if implicit) and length."""
        data, order = self._source.read(8), inside.order
        group, element, length = order.implicit(data, 0)
        tag = group << 16 | element
        if inside.is_implicit or group == DELIMITERS:
            return tag, b"", length
        _, _, vr, length = order.explicit(data, 0)
        if vr in LONG_VRS:
            return tag, vr, order.uint32(self._source.read(4), 0)[0]
        if vr not in SHORT_VRS:
            raise UnreadableDataSet("an element with an unknown VR")
        return tag, vr, length

    def _structure(self, tag: int, length: int, inside: _Container) -> None:
        if tag == ITEM and inside.is_sequence:
            self._hash.update(b"I")
            self._enter(length, is_sequence=False, order=inside.order, is_implicit=inside.is_implicit)
        elif tag in (ITEM_DELIMITATION, SEQUENCE_DELIMITATION) and inside.end is None and length == 0:
            self._close(is_sequence=tag == SEQUENCE_DELIMITATION)
        else:
            raise UnreadableDataSet("an item or delimiter where none can be")

    def _enter(self, length: int, *, is_sequence: bool, order: ByteOrder, is_implicit: bool) -> None:
        if len(self._open) > 2 * MAX_DEPTH:
            raise UnreadableDataSet(f"sequences nest more than {MAX_DEPTH} deep")
        end = None if length == UNDEFINED_LENGTH else self._source.position + length
        self._open.append(_Container(is_sequence, end, order, is_implicit))

    def _is_sequence(self, tag: int, vr: bytes, length: int, order: ByteOrder) -> bool:
        """Return whether items follow. An empty sequence is a value: without a VR it looks like one."""
        if length == 0:
            return False
        if vr not in (b"", b"UN"):
            return vr == b"SQ"
        if length == UNDEFINED_LENGTH or (not vr and _is_known_sequence(tag)):
            return True
        # A sequence that only its creator knows shows by its first item.
        return (
            length >= _ITEM_BYTES
            and self._source.peek(_ITEM_BYTES)[:4] == _ITEM_TAG
            and order is LITTLE_ENDIAN
        )

    def _value(self, tag: int, vr: bytes, length: int, inside: _Container) -> None:
        word = 1 if inside.order is LITTLE_ENDIAN else WORD_BYTES.get(vr, 1)
        if length == UNDEFINED_LENGTH or length % word:
            raise UnreadableDataSet("a value of impossible length")
        # Unknown bytes in another byte order may be anything: they equal nothing.
        kind = b"V" if vr != b"UN" or inside.order is LITTLE_ENDIAN else b"U"
        counts = not (_is_group_length(tag, length) or tag == _DATA_SET_TRAILING_PADDING)
        if counts:
            self._hash.update(kind + tag.to_bytes(4) + length.to_bytes(4))
        for at in range(0, length, _PIECE_BYTES):
            piece = self._source.read(min(_PIECE_BYTES, length - at))
            if counts:
                self._hash.update(piece if word == 1 else turned_round(piece, word))


def _is_known_sequence(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False


def _is_group_length(tag: int, length: int) -> bool:
    return tag & 0xFFFF == 0 and length == 4
