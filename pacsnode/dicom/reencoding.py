"""Data sets from one encoding to another without touching the pixels (PS3.5 7 and Annex A): VR, byte order, deflate.

A data set is read once, forward, and written while it is read: what is held is a piece of it, and a sequence whose
length has to be written before its items. Values stay byte for byte, byte order aside; what an element carries no VR
for is looked up (`value_representations`). What stays as it was:

- a value of VR UN, whose bytes are Little Endian and, where they are items, implicit in every encoding (PS3.5 6.2.2);
- an odd length, and a value that is none of its VR.

What does not: group lengths are left out (retired, and no longer true), a sequence of VR UN and undefined length gets
the VR SQ, a value that a 16-bit length has no room for the VR UN (PS3.5 6.2.2), and NULs behind the last element go.

The order of bytes in Pixel Data follows their VR (PS3.5 8.2 and annex A.3): OW is words, OB is bytes.
"""

import itertools
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from struct import Struct
from types import MappingProxyType
from typing import BinaryIO

from pacsnode.dicom.encoding import (
    DELIMITERS,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITATION,
    LITTLE_ENDIAN,
    LONG_VRS,
    SEQUENCE_DELIMITATION,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    WORD_BYTES,
    ByteOrder,
    Encoding,
    declared,
    detected,
    has_vr,
    turned_round,
)
from pacsnode.dicom.forward import Deflating, Forward
from pacsnode.dicom.nesting import MAX_DEPTH
from pacsnode.dicom.uid import is_deflated, is_encapsulated
from pacsnode.dicom.value_representations import PIXEL_DATA, UNKNOWN, Surroundings
from pacsnode.errors import UnreadableDataSet

Write = Callable[[bytes], object]

MAX_INFLATED_BYTES = 4 << 30
MAX_ELEMENTS = 2_000_000  # with those in items; some seconds

_FIRST_GROUP = 0x0003  # below it are the command set and the file meta
_PIECE_BYTES = 1 << 20  # a multiple of every word
_KEPT_BYTES = 64 << 10  # of a value that `read_header` returns
_BUFFERED_BYTES = 4 << 20  # of a sequence with a length; a longer one is written with undefined length
_MAX_SHORT = 0xFFFF
_NO_CHANGES: Mapping[int, tuple[str, bytes] | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PixelData:
    """A new value of Pixel Data, in Little Endian; without a `length` the pieces are items and the delimiter."""

    vr: str
    length: int | None
    pieces: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a data set is written with instead: top level elements by tag, VR and value in Little Endian.

    None leaves an element out. The value of an SQ is its items in Explicit VR Little Endian.
    """

    elements: Mapping[int, tuple[str, bytes] | None] = field(default_factory=lambda: _NO_CHANGES)
    pixel_data: PixelData | None = None


@dataclass(frozen=True, slots=True)
class PixelDataAt:
    """Where Pixel Data stand: their value begins at `offset` from the data set's first byte.

    The length is None for fragments, and the offset counts inflated bytes.
    """

    vr: bytes
    offset: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Header:
    """The top level elements before the Pixel Data: VR and value in Little Endian, sequences and long values aside."""

    elements: Mapping[int, tuple[bytes, bytes]]
    sequences: frozenset[int]
    pixel_data: PixelDataAt | None


def reencode(
    source: BinaryIO, sink: BinaryIO, *, stored: str, wanted: str, changes: Changes | None = None
) -> None:
    """Write the data set that `source` holds from its position to its end in another transfer syntax.

    Raises `UnreadableDataSet` for what cannot be read to its end, or converted; `sink` has a part of it then.
    """
    forward, how = _opened(source, stored)
    walk = _Walk(forward, declared(wanted), keeps_fragments=is_encapsulated(wanted))
    if not is_deflated(wanted):
        walk.data_set(how, sink.write, changes or Changes())
        return
    deflating = Deflating(sink)
    walk.data_set(how, deflating.write, changes or Changes())
    deflating.finish()


def read_header(source: BinaryIO, transfer_syntax_uid: str) -> Header:
    """Return what stands before the Pixel Data of the data set that begins at the source's position.

    Raises `UnreadableDataSet`.
    """
    forward, how = _opened(source, transfer_syntax_uid)
    walk = _Walk(forward, EXPLICIT_LITTLE, keeps_fragments=True)
    return walk.header(how)


def _opened(source: BinaryIO, transfer_syntax_uid: str) -> tuple[Forward, Encoding]:
    forward = Forward(source, is_deflated=is_deflated(transfer_syntax_uid), limit_bytes=MAX_INFLATED_BYTES)
    return forward, detected(forward.peek(64 << 10), declared(transfer_syntax_uid))


class _Walk:
    """One pass over a data set. `into` is what is written."""

    def __init__(self, forward: Forward, into: Encoding, *, keeps_fragments: bool) -> None:
        self._forward = forward
        self._into = into
        self._keeps_fragments = keeps_fragments
        self._put = _Headers(into)
        self._elements = 0

    # The top level

    def data_set(self, how: Encoding, write: Write, changes: Changes) -> None:
        around, left = Surroundings(), _Pending(changes, self._into, write)
        for tag, vr, length in self._top(how, around):
            if left.replaces(tag):
                self._skip(tag, vr, length, how, around)
                left.write_up_to(tag)
                continue
            left.write_up_to(tag - 1)
            self._element(tag, vr, length, how, around, write, 0)
        left.write_up_to(0xFFFFFFFF)

    def header(self, how: Encoding) -> Header:
        around, found, sequences = Surroundings(), dict[int, tuple[bytes, bytes]](), set[int]()
        for tag, vr, length in self._top(how, around):
            if tag >= PIXEL_DATA:
                defined = None if length == UNDEFINED_LENGTH else length
                at = PixelDataAt(vr, self._forward.position, defined) if tag == PIXEL_DATA else None
                return Header(found, frozenset(sequences), at)
            if self._is_sequence(vr, length):
                sequences.add(tag)
                self._skip(tag, vr, length, how, around)
            elif length > _KEPT_BYTES:
                self._skip(tag, vr, length, how, around)
            else:
                found[tag] = vr, _turned(self._noted(tag, length, how, around), vr, how.order, LITTLE_ENDIAN)
        return Header(found, frozenset(sequences), None)

    def _top(self, how: Encoding, around: Surroundings) -> Iterator[tuple[int, bytes, int]]:
        """Yield tag, VR and length of each element; whoever asks for the next one has dealt with the value."""
        forward = self._forward
        while not forward.is_at_end():
            if forward.has_only_nuls():
                return
            tag, vr, length = self._next(how, around)
            if tag >> 16 < _FIRST_GROUP and tag >> 16 != 1:
                raise UnreadableDataSet(f"an element of group {tag >> 16:04X} stands in the data set")
            if tag >> 16 == DELIMITERS:  # stray ones, of devices that remove or convert sequences
                continue
            yield tag, vr, length

    # Elements

    def _next(self, how: Encoding, around: Surroundings) -> tuple[int, bytes, int]:
        """Return tag, VR and length of the next element, which for a delimiter has no VR."""
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise UnreadableDataSet(f"more than {MAX_ELEMENTS} elements")
        forward, order = self._forward, how.order
        head = forward.read(8)
        group, element, length = order.implicit(head, 0)
        tag = group << 16 | element
        if group == DELIMITERS:
            return tag, b"", length
        if how.is_implicit:
            return tag, self._looked_up(around, tag, length), length
        _, _, vr, length = order.explicit(head, 0)
        if vr in SHORT_VRS:
            return tag, vr, length
        if vr in LONG_VRS:
            return tag, vr, order.uint32(forward.read(4), 0)[0]
        length = forward.odd_length(head, order)
        return tag, UNKNOWN if has_vr(head, 0) else self._looked_up(around, tag, length), length

    def _looked_up(self, around: Surroundings, tag: int, length: int) -> bytes:
        """Return the VR of an element that carries none; a sequence shows by its first item."""
        vr = around.vr_of(tag)
        if length == UNDEFINED_LENGTH:
            return b"SQ"
        if vr == b"SQ" and length and self._forward.peek(4) != LITTLE_ENDIAN.item:
            return UNKNOWN
        return vr

    def _is_sequence(self, vr: bytes, length: int) -> bool:
        return vr == b"SQ" or (vr == UNKNOWN and length == UNDEFINED_LENGTH)

    def _element(
        self,
        tag: int,
        vr: bytes,
        length: int,
        how: Encoding,
        around: Surroundings,
        write: Write,
        depth: int,
    ) -> None:
        """Write one element, whose header was read."""
        if self._is_sequence(vr, length):
            self.sequence(tag, length, IMPLICIT_LITTLE if vr == UNKNOWN else how, around, write, depth)
        elif length == UNDEFINED_LENGTH:
            self._fragments(tag, vr, how, write)
        elif tag & 0xFFFF == 0:
            self._forward.skip(length)
        else:
            self._value(tag, vr, length, how, around, write)

    def _value(
        self, tag: int, vr: bytes, length: int, how: Encoding, around: Surroundings, write: Write
    ) -> None:
        order = self._into.order
        if length > _MAX_SHORT and vr in SHORT_VRS:
            write(self._put(tag, UNKNOWN, length))
            order = LITTLE_ENDIAN  # PS3.5 6.2.2: an unknown value is as it would be in Little Endian
        else:
            write(self._put(tag, vr, length))
        if length <= _PIECE_BYTES:
            write(_turned(self._noted(tag, length, how, around), vr, how.order, order))
            return
        for piece in self._forward.pieces(length, _PIECE_BYTES):
            write(_turned(piece, vr, how.order, order))

    def _noted(self, tag: int, length: int, how: Encoding, around: Surroundings) -> bytes:
        value = self._forward.read(length)
        if around.steers(tag):
            around.note(tag, value, how.order.name)
        return value

    def _skip(self, tag: int, vr: bytes, length: int, how: Encoding, around: Surroundings) -> None:
        """Step over a value."""
        if length == UNDEFINED_LENGTH:
            self._element(tag, vr, length, how, around, _nowhere, 0)
        else:
            self._forward.skip(length)

    # What nests

    def sequence(
        self, tag: int, length: int, how: Encoding, outer: Surroundings, write: Write, depth: int
    ) -> None:
        """Write a sequence whose header was read."""
        if depth >= MAX_DEPTH:
            raise UnreadableDataSet(f"sequences are nested more than {MAX_DEPTH} levels deep")
        if length == UNDEFINED_LENGTH or length > _BUFFERED_BYTES:
            write(self._put(tag, b"SQ", UNDEFINED_LENGTH))
            self._items(length, how, outer, write, depth)
            write(self._put.delimiter(SEQUENCE_DELIMITATION))
            return
        parts: list[bytes] = []
        self._items(length, how, outer, parts.append, depth)
        write(self._put(tag, b"SQ", sum(map(len, parts))))
        write(b"".join(parts))

    def _items(self, length: int, how: Encoding, outer: Surroundings, write: Write, depth: int) -> None:
        forward = self._forward
        end = None if length == UNDEFINED_LENGTH else forward.position + length
        while end is None or forward.position < end:
            tag, _, item_length = self._next(how, outer)
            if tag == SEQUENCE_DELIMITATION and end is None:
                return
            if tag != ITEM:
                raise UnreadableDataSet("a sequence holds something that is no item")
            self._item(item_length, how, outer, write, depth)
        if forward.position > end:
            raise UnreadableDataSet("an item is longer than its sequence")

    def _item(self, length: int, how: Encoding, outer: Surroundings, write: Write, depth: int) -> None:
        if length and not how.is_implicit and how.order is LITTLE_ENDIAN and self._lacks_vr():
            how = IMPLICIT_LITTLE  # as in a sequence of VR UN (PS3.5 6.2.2), which some devices call SQ
        around = outer.of_item()
        if length == UNDEFINED_LENGTH or length > _BUFFERED_BYTES:
            write(self._put.item(UNDEFINED_LENGTH))
            self._content(length, how, around, write, depth)
            write(self._put.delimiter(ITEM_DELIMITATION))
            return
        parts: list[bytes] = []
        self._content(length, how, around, parts.append, depth)
        write(self._put.item(sum(map(len, parts))))
        write(b"".join(parts))

    def _lacks_vr(self) -> bool:
        head = self._forward.peek(8)
        return len(head) == 8 and LITTLE_ENDIAN.implicit(head, 0)[0] != DELIMITERS and not has_vr(head, 0)

    def _content(self, length: int, how: Encoding, around: Surroundings, write: Write, depth: int) -> None:
        forward = self._forward
        end = None if length == UNDEFINED_LENGTH else forward.position + length
        while end is None or forward.position < end:
            tag, vr, value_length = self._next(how, around)
            if tag == ITEM_DELIMITATION and end is None:
                return
            if tag >> 16 == DELIMITERS:
                raise UnreadableDataSet("an item holds a delimiter that is not its own")
            self._element(tag, vr, value_length, how, around, write, depth + 1)
        if forward.position > end:
            raise UnreadableDataSet("an element is longer than its item")

    def _fragments(self, tag: int, vr: bytes, how: Encoding, write: Write) -> None:
        """Copy encapsulated Pixel Data (PS3.5 A.4)."""
        name = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        if vr not in (b"OB", b"OW") or how is not EXPLICIT_LITTLE:
            raise UnreadableDataSet(f"{name} has no length")
        if write is not _nowhere and not self._keeps_fragments:
            raise UnreadableDataSet(f"{name} is compressed, and has to be decoded")
        write(self._put(tag, vr, UNDEFINED_LENGTH))
        for _ in itertools.count():
            head = self._forward.read(8)
            group, element, length = how.order.implicit(head, 0)
            item = group << 16 | element
            if item == SEQUENCE_DELIMITATION:
                write(self._put.delimiter(SEQUENCE_DELIMITATION))
                return
            if item != ITEM or length == UNDEFINED_LENGTH:
                raise UnreadableDataSet("compressed Pixel Data hold something that is no fragment")
            write(head)
            for piece in self._forward.pieces(length, _PIECE_BYTES):
                write(piece)


def _nowhere(_: bytes) -> None:
    """Write nothing."""


def _turned(value: bytes, vr: bytes, order: ByteOrder, into: ByteOrder) -> bytes:
    """Return a value, or a piece of it, in another byte order."""
    word = WORD_BYTES.get(vr, 1)
    return value if order is into or word == 1 else turned_round(value, word)


class _Headers:
    """Writes the headers of elements, items and delimiters in one encoding. Calling it gives that of an element."""

    def __init__(self, into: Encoding) -> None:
        sign = "<" if into.order is LITTLE_ENDIAN else ">"
        self._implicit = Struct(sign + "HHI").pack
        self._short = Struct(sign + "HH2sH").pack
        self._long = Struct(sign + "HH2sxxI").pack
        self._is_implicit = into.is_implicit

    def __call__(self, tag: int, vr: bytes, length: int) -> bytes:
        if self._is_implicit:
            return self._implicit(tag >> 16, tag & 0xFFFF, length)
        pack = self._short if vr in SHORT_VRS else self._long
        return pack(tag >> 16, tag & 0xFFFF, vr, length)

    def item(self, length: int) -> bytes:
        return self._implicit(ITEM >> 16, ITEM & 0xFFFF, length)

    def delimiter(self, tag: int) -> bytes:
        return self._implicit(tag >> 16, tag & 0xFFFF, 0)


class _Pending:
    """The elements of a `Changes` that are still to be written, in the order of their tags."""

    def __init__(self, changes: Changes, into: Encoding, write: Write) -> None:
        self._changes = changes
        self._into = into
        self._put = _Headers(into)
        self._write = write
        self._tags = sorted(tag for tag, new in changes.elements.items() if new is not None)
        if changes.pixel_data is not None:
            insort(self._tags, PIXEL_DATA)
        self._tags.reverse()

    def replaces(self, tag: int) -> bool:
        """Return whether what the data set has under this tag is not written."""
        return tag in self._changes.elements or (tag == PIXEL_DATA and self._changes.pixel_data is not None)

    def write_up_to(self, tag: int) -> None:
        """Write what comes before or at this tag."""
        while self._tags and self._tags[-1] <= tag:
            self._write_one(self._tags.pop())

    def _write_one(self, tag: int) -> None:
        if tag == PIXEL_DATA and self._changes.pixel_data is not None:
            self._write_pixels(self._changes.pixel_data)
            return
        new = self._changes.elements[tag]
        assert new is not None
        vr, value = new[0].encode("ascii"), new[1]
        if vr == b"SQ":
            walk = _Walk(Forward(BytesIO(value)), self._into, keeps_fragments=False)
            walk.sequence(tag, len(value), EXPLICIT_LITTLE, Surroundings(), self._write, 0)
            return
        self._write(self._put(tag, vr, len(value)) + _turned(value, vr, LITTLE_ENDIAN, self._into.order))

    def _write_pixels(self, pixel_data: PixelData) -> None:
        vr, left = pixel_data.vr.encode("ascii"), pixel_data.length
        self._write(self._put(PIXEL_DATA, vr, UNDEFINED_LENGTH if left is None else left))
        for piece in pixel_data.pieces:
            self._write(_turned(piece, vr, LITTLE_ENDIAN, self._into.order))
            if left is not None:
                left -= len(piece)
        if left:
            raise UnreadableDataSet(f"the new Pixel Data are {left} bytes shorter than was said")
