"""Placeholder for the module of this name on the branch t-encoding, which replaces it: on merging take theirs.

It reads and writes Explicit VR Little Endian only, which is what encapsulated data sets are written in.
"""

import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from pacsnode.dicom import uid
from pacsnode.dicom.encoding import LITTLE_ENDIAN, LONG_VRS, SEQUENCE_VRS, UNDEFINED_LENGTH, Data
from pacsnode.dicom.nesting import MAX_ELEMENTS, after_sequence
from pacsnode.errors import UnreadableDataSet

PIXEL_DATA = 0x7FE00010
_SMALL_BYTES = 64 << 10
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class PixelData:
    """A new value of Pixel Data; without a length it is encapsulated, and the pieces are its items."""

    vr: str
    length: int | None
    pieces: Iterable[bytes]


@dataclass(frozen=True)
class Changes:
    """Elements of the top level to put or (None) to leave out, and new Pixel Data."""

    elements: Mapping[int, tuple[str, bytes] | None] = field(default_factory=dict)
    pixel_data: PixelData | None = None


NO_CHANGES = Changes()


@dataclass(frozen=True)
class PixelDataPlace:
    """Where the value of Pixel Data begins in the source; `length` None is an undefined one."""

    position: int
    vr: str
    length: int | None


@dataclass(frozen=True)
class Header:
    """The small elements of the top level, little endian, and where Pixel Data is."""

    elements: Mapping[int, tuple[str, bytes]]
    pixel_data: PixelDataPlace | None


def read_header(source: BinaryIO, transfer_syntax: str) -> Header:
    """Return the header of the data set that begins at the source's position, which stays where it is."""
    _check_syntax(transfer_syntax)
    start, elements, place = source.tell(), {}, None
    with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for tag, vr, _, value, length, after in _elements(cast(Data, data), start):
            if tag == PIXEL_DATA:
                place = PixelDataPlace(value, vr, None if length == UNDEFINED_LENGTH else length)
            elif after - value <= _SMALL_BYTES:
                elements[tag] = (vr, data[value:after])
    source.seek(start)
    return Header(elements, place)


def reencode(
    source: BinaryIO, sink: BinaryIO, *, stored: str, wanted: str, changes: Changes = NO_CHANGES
) -> None:
    """Write the data set that begins at the source's position in the syntax `wanted`, with the changes."""
    _check_syntax(stored)
    _check_syntax(wanted)
    left = dict(changes.elements)
    with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for tag, vr, at, _, _, after in _elements(cast(Data, data), source.tell()):
            for earlier in sorted(other for other in left if other < tag):
                _put(sink, earlier, left.pop(earlier))
            if tag in left:
                _put(sink, tag, left.pop(tag))
            elif tag == PIXEL_DATA and changes.pixel_data:
                _put_pixel_data(sink, changes.pixel_data)
            else:
                sink.writelines(
                    data[piece : min(after, piece + _PIECE_BYTES)] for piece in range(at, after, _PIECE_BYTES)
                )
            del vr
    for tag in sorted(left):
        _put(sink, tag, left[tag])


def _check_syntax(transfer_syntax: str) -> None:
    if transfer_syntax != uid.EXPLICIT_VR_LITTLE_ENDIAN and not uid.is_encapsulated(transfer_syntax):
        raise UnreadableDataSet(f"{transfer_syntax} is not read here yet")


def _elements(data: Data, at: int) -> Iterator[tuple[int, str, int, int, int, int]]:
    for _ in range(MAX_ELEMENTS):
        if at + 8 > len(data):
            return
        group, element, vr, length = LITTLE_ENDIAN.explicit(data, at)
        value = at + 8
        if vr in LONG_VRS:
            length, value = LITTLE_ENDIAN.uint32(data, at + 8)[0], at + 12
        after = value + length
        if length == UNDEFINED_LENGTH:
            is_fragments = vr not in SEQUENCE_VRS
            after = after_sequence(
                data,
                value,
                length,
                LITTLE_ENDIAN,
                is_implicit=False,
                is_fragments=is_fragments,
                is_complete=True,
            )
        if after > len(data):
            raise UnreadableDataSet("the data set ends within an element")
        yield group << 16 | element, vr.decode("ascii", "replace"), at, value, length, after
        at = after


def _put(sink: BinaryIO, tag: int, element: tuple[str, bytes] | None) -> None:
    if element is None:
        return
    vr, value = element
    is_long = vr.encode() in LONG_VRS
    header = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    sink.write(
        header + (struct.pack("<HI", 0, len(value)) if is_long else struct.pack("<H", len(value))) + value
    )


def _put_pixel_data(sink: BinaryIO, pixel_data: PixelData) -> None:
    length = UNDEFINED_LENGTH if pixel_data.length is None else pixel_data.length
    sink.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, pixel_data.vr.encode(), 0, length))
    sink.writelines(pixel_data.pieces)
