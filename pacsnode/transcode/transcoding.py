"""Converting one instance to another transfer syntax, frame by frame (PS3.5 8.2 and Annex A).

The data set is rewritten by `dicom.reencoding`; here its Pixel Data are decoded, encoded or both, one frame
in memory at a time, and the attributes that describe them follow.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from pacsnode.dicom import convertible, uid
from pacsnode.dicom.reencoding import Changes, Header, PixelData, read_header, reencode
from pacsnode.errors import CannotConvert, UnreadableDataSet
from pacsnode.transcode import codecs
from pacsnode.transcode.codestreams import CodedFrame
from pacsnode.transcode.frames import Fragments, find_fragments, frame_starts, items, read_frames
from pacsnode.transcode.icons import ICON_IMAGE_SEQUENCE, native_icons
from pacsnode.transcode.image import (
    Image,
    Limits,
    Replaced,
    changed_elements,
    check_frame,
    check_native_length,
    decoded,
    encoded,
    lossy_history,
    read_image,
)

__all__ = ["Limits", "transcode"]


def transcode(source: BinaryIO, sink: BinaryIO, *, stored: str, wanted: str, limits: Limits) -> None:
    """Write the data set that `source` holds from its position to its end, which is in `stored`, in `wanted`.

    The source is seekable. Raises `CannotConvert`, after which `sink` has something that is of no use.
    """
    if not convertible.can_convert(stored, wanted):
        raise CannotConvert(f"{stored} is not converted to {wanted}")
    start = source.tell()
    try:
        changes = Changes() if _is_reencoding(stored, wanted) else _changes(source, stored, wanted, limits)
        source.seek(start)
        reencode(source, sink, stored=stored, wanted=wanted, changes=changes)
    except UnreadableDataSet as error:
        raise CannotConvert(str(error)) from error


def _is_reencoding(stored: str, wanted: str) -> bool:
    return stored == wanted or {stored, wanted} <= convertible.UNCOMPRESSED


def _changes(source: BinaryIO, stored: str, wanted: str, limits: Limits) -> Changes:
    start = source.tell()
    header = read_header(source, stored)
    at = header.pixel_data
    if stored in convertible.UNCOMPRESSED:
        if at is None:  # a report or a presentation state: the syntax says nothing of it
            return Changes()
        return _compressed(source, header, start + at.offset, at.length, wanted, limits)
    icons: Replaced = {}
    if ICON_IMAGE_SEQUENCE in header.sequences:
        source.seek(start)
        icons = {ICON_IMAGE_SEQUENCE: native_icons(source, header, stored, limits, transcode)}
    if at is None:
        return Changes(icons)
    if at.length is not None:
        raise CannotConvert("Pixel Data are not encapsulated, as the transfer syntax demands")
    changes = _Recoding(source, header, start + at.offset, stored, wanted, limits).changes()
    return Changes({**changes.elements, **icons}, changes.pixel_data)


def _compressed(
    source: BinaryIO, header: Header, position: int, length: int | None, wanted: str, limits: Limits
) -> Changes:
    image = read_image(header.elements, limits)
    after = encoded(image, wanted)
    if length is None or length < image.total_bytes:
        raise CannotConvert(f"Pixel Data has {length or 0} bytes, its image takes {image.total_bytes}")
    frames = (
        codecs.encode(codecs.native_cells(frame, image), after, wanted)
        for frame in _native_frames(source, position, image)
    )
    pieces = _undisturbed(source, items(frames))
    return Changes(changed_elements(image, after), PixelData("OB", None, pieces))


def _undisturbed(source: BinaryIO, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces that are read from anywhere in the source, which whoever asks for them reads on afterwards."""
    position = source.tell()
    yield from pieces
    source.seek(position)


def _native_frames(source: BinaryIO, position: int, image: Image) -> Iterator[bytes]:
    for number in range(image.frames):
        source.seek(position + number * image.frame_bytes)
        frame = source.read(image.frame_bytes)
        if len(frame) != image.frame_bytes:
            raise CannotConvert("the data set ends within its Pixel Data")
        yield frame


class _Recoding:
    """Encapsulated Pixel Data on their way to native ones, or to another compression."""

    def __init__(
        self,
        source: BinaryIO,
        header: Header,
        position: int,
        stored: str,
        wanted: str,
        limits: Limits,
    ) -> None:
        self._source = source
        self._header = header
        self._wanted = wanted
        self._limits = limits
        self._stored = stored
        self._image = read_image(header.elements, limits)
        self._decoder = codecs.decoder(stored)
        self._fragments: Fragments = find_fragments(source, position)
        self._starts = frame_starts(source, self._fragments, self._image.frames, stored)

    def changes(self) -> Changes:
        first = self._coded(next(self._frames()))
        native = decoded(self._image, self._stored, first)
        elements = changed_elements(self._image, native)
        if first and first.is_lossy:
            elements |= lossy_history(
                self._header.elements,
                self._decoder.method,
                self._image.total_bytes,
                self._fragments.total_bytes(),
            )
        if self._wanted in convertible.UNCOMPRESSED:
            return Changes(elements, self._native(native, first))
        after = encoded(native, self._wanted)
        frames = (codecs.encode(cells, after, self._wanted) for cells in self._cells(native, first))
        pieces = _undisturbed(self._source, items(frames))
        return Changes(elements | changed_elements(self._image, after), PixelData("OB", None, pieces))

    def _native(self, native: Image, first: CodedFrame | None) -> PixelData:
        check_native_length(native)
        is_words = native.allocated > 8 or uid.is_implicit_vr(self._wanted)
        return PixelData(
            "OW" if is_words else "OB",
            native.total_bytes + native.total_bytes % 2,
            _undisturbed(self._source, self._padded(native, first)),
        )

    def _padded(self, native: Image, first: CodedFrame | None) -> Iterator[bytes]:
        for cells in self._cells(native, first):
            yield codecs.native_bytes(cells, native)
        if native.total_bytes % 2:
            yield b"\0"

    def _cells(self, native: Image, first: CodedFrame | None) -> "Iterator[codecs.Cells]":
        """Yield the decoded frames. Each is to be like the first, which the attributes are made after."""
        for frame in self._frames():
            coded = self._coded(frame)
            if coded and first:
                # Beyond its place in the fragment and its way of colour, which the decoder undoes.
                alike = replace(coded, start=first.start, colour=first.colour, is_lossy=first.is_lossy)
                if alike != first and decoded(self._image, self._stored, coded) != native:
                    raise CannotConvert("the coded frames differ in their bits, and have one description")
            yield self._decoder.decode(frame, self._image, coded)

    def _frames(self) -> Iterator[bytes]:
        return read_frames(self._source, self._fragments, self._starts, self._limits.max_frame_bytes)

    def _coded(self, frame: bytes) -> CodedFrame | None:
        if not self._decoder.header:
            return None
        coded = self._decoder.header(frame)
        check_frame(self._image, coded)
        return coded
