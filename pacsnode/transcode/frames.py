"""Encapsulated Pixel Data (PS3.5 A.4): the fragments of each frame read, the items of frames written.

One pass over the item headers finds the fragments, without their bytes; frames are read one at a time.
"""

import os
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO

from pacsnode.dicom import convertible
from pacsnode.dicom.encoding import ITEM, SEQUENCE_DELIMITATION, UNDEFINED_LENGTH
from pacsnode.errors import CannotConvert

_HEADER = Struct("<HHI")
_END = _HEADER.pack(SEQUENCE_DELIMITATION >> 16, SEQUENCE_DELIMITATION & 0xFFFF, 0)
_EMPTY_OFFSET_TABLE = _HEADER.pack(ITEM >> 16, ITEM & 0xFFFF, 0)
_MAX_FRAGMENTS = 1_000_000  # of one instance; the index takes 16 bytes for each
_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
_ENDS = (b"\xff\xd9",)  # the same for JPEG, JPEG-LS and JPEG 2000
_TAIL_BYTES = 16


@dataclass(frozen=True, slots=True)
class Fragments:
    """Where the fragments are in the file, and how long; the offset table, and where the last one ends."""

    offsets: "array[int]"
    lengths: "array[int]"
    table: "array[int]"
    end: int

    def total_bytes(self) -> int:
        """Return how long all are together."""
        return sum(self.lengths)


def find_fragments(source: BinaryIO, start: int) -> Fragments:
    """Return the fragments of Pixel Data of undefined length whose value begins at `start`.

    A missing sequence delimiter is let pass at the end of the data set; anything else raises `CannotConvert`.
    """
    size = source.seek(0, os.SEEK_END)
    length, at = _item(source, start, size)
    if length is None:
        raise CannotConvert("Pixel Data has no items")
    table = _offset_table(source, at, length)
    offsets, lengths, at = array("Q"), array("Q"), at + length
    while at < size:
        length, value = _item(source, at, size)
        if length is None:
            return Fragments(offsets, lengths, table, value)
        if len(offsets) >= _MAX_FRAGMENTS:
            raise CannotConvert(f"Pixel Data has more than {_MAX_FRAGMENTS} fragments")
        offsets.append(value)
        lengths.append(length)
        at = value + length
    return Fragments(offsets, lengths, table, at)


def frame_starts(source: BinaryIO, fragments: Fragments, frames: int, transfer_syntax: str) -> "array[int]":
    """Return the first fragment of each frame, and behind those the number of fragments.

    A frame has one fragment or the offset table or the markers within tell where the next begins
    (PS3.5 A.4); an Extended Offset Table is only allowed where it is one (PS3.3 C.7.6.3.1.8).
    """
    count = len(fragments.offsets)
    if count < frames:
        raise CannotConvert(f"{count} fragments for {frames} frames")
    if count == frames:
        return array("Q", range(frames + 1))
    if transfer_syntax == convertible.RLE_LOSSLESS:
        raise CannotConvert(
            f"{count} fragments for {frames} frames: with RLE each frame has one (PS3.5 A.4.2)"
        )
    starts = _told_by_table(fragments) or _told_by_markers(source, fragments)
    if len(starts) != frames:
        raise CannotConvert(f"{count} fragments hold {len(starts)} frames, Number of Frames says {frames}")
    starts.append(count)
    return starts


def read_frames(
    source: BinaryIO, fragments: Fragments, starts: "array[int]", max_bytes: int
) -> Iterator[bytes]:
    """Yield each coded frame; raises `CannotConvert` for one longer than `max_bytes`, before it is read."""
    for number in range(len(starts) - 1):
        first, behind = starts[number], starts[number + 1]
        length = sum(fragments.lengths[first:behind])
        if length > max_bytes:
            raise CannotConvert(f"frame {number + 1} has {length} coded bytes; {max_bytes} are allowed")
        yield b"".join(_fragment(source, fragments, index) for index in range(first, behind))


def items(frames: Iterator[bytes]) -> Iterator[bytes]:
    """Yield an encapsulated value: an empty Basic Offset Table, each frame as one fragment, the end."""
    yield _EMPTY_OFFSET_TABLE
    for frame in frames:
        if len(frame) + 1 >= UNDEFINED_LENGTH:
            raise CannotConvert("a coded frame is longer than a fragment can be")
        yield _HEADER.pack(ITEM >> 16, ITEM & 0xFFFF, len(frame) + len(frame) % 2)
        yield frame
        if len(frame) % 2:
            yield b"\0"
    yield _END


def _item(source: BinaryIO, at: int, size: int) -> tuple[int | None, int]:
    """Return the length of an item (None: it is the delimiter) and where its value begins."""
    source.seek(at)
    header = source.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise CannotConvert("Pixel Data ends within the header of a fragment")
    group, element, length = _HEADER.unpack(header)
    tag = group << 16 | element
    if tag == SEQUENCE_DELIMITATION:
        return None, at + _HEADER.size
    if tag != ITEM or length == UNDEFINED_LENGTH:
        raise CannotConvert("Pixel Data has something else than fragments in it")
    if at + _HEADER.size + length > size:
        raise CannotConvert("Pixel Data ends within a fragment")
    return length, at + _HEADER.size


def _offset_table(source: BinaryIO, at: int, length: int) -> "array[int]":
    if length % 4 or length > 4 * _MAX_FRAGMENTS:
        return array("I")
    source.seek(at)
    table = array("I", source.read(length))
    if sys.byteorder == "big":
        table.byteswap()
    return table


def _told_by_table(fragments: Fragments) -> "array[int]":
    """Return the first fragments by the Basic Offset Table, nothing if that is empty or wrong."""
    starts, index = array("Q"), 0
    if not fragments.offsets or not fragments.table:
        return starts
    first = fragments.offsets[0]
    for offset in fragments.table:
        while index < len(fragments.offsets) and fragments.offsets[index] - first < offset:
            index += 1
        if index == len(fragments.offsets) or fragments.offsets[index] - first != offset:
            return array("Q")
        if starts and starts[-1] == index:
            return array("Q")
        starts.append(index)
    return starts if starts[0] == 0 else array("Q")


def _told_by_markers(source: BinaryIO, fragments: Fragments) -> "array[int]":
    """Return the fragments that begin with the start of a codestream, where the one before has its end."""
    starts, is_ended = array("Q"), True
    for index, (offset, length) in enumerate(zip(fragments.offsets, fragments.lengths, strict=True)):
        source.seek(offset)
        begins = source.read(_TAIL_BYTES).startswith(_STARTS)
        if index == 0 or (is_ended and begins):
            starts.append(index)
        tail = min(length, _TAIL_BYTES)
        source.seek(offset + length - tail)
        is_ended = source.read(tail).rstrip(b"\0").endswith(_ENDS)
    return starts


def _fragment(source: BinaryIO, fragments: Fragments, index: int) -> bytes:
    source.seek(fragments.offsets[index])
    piece = source.read(fragments.lengths[index])
    if len(piece) != fragments.lengths[index]:
        raise CannotConvert("Pixel Data ends within a fragment")
    return piece
