"""What a coded frame says about itself: the headers of JPEG, JPEG-LS and JPEG 2000 codestreams.

Read before a codec is asked, so that a frame that would take more memory than it may, that is not the one
that the data set describes, or whose tables or end are missing, is refused and not decoded to grey. libjpeg
only warns of those, and fills in (ISO/IEC 10918-1 Annex B, 14495-1 Annex C, 15444-1 Annex A).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from struct import Struct, error

from pacsnode.errors import CannotConvert


class Colour(Enum):
    """What three components are, as far as the codestream tells."""

    AS_STATED = auto()  # it does not: Photometric Interpretation does
    RGB = auto()
    YBR = auto()


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """The size and the kind of the samples in a codestream; `start` is where it begins in its fragment."""

    rows: int
    columns: int
    samples: int
    precision: int
    is_signed: bool = False
    is_lossy: bool = False
    colour: Colour = Colour.AS_STATED
    start: int = 0


_SOS, _DHT, _DQT, _APP0, _APP14 = 0xDA, 0xC4, 0xDB, 0xE0, 0xEE
_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
_DCT = frozenset((0xC0, 0xC1, 0xC2))
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_FRAME_HEADER = Struct(">BHHB")
_LENGTH = Struct(">H")
_MAX_SEGMENTS = 10_000
_MAX_PADDING_BYTES = 64 << 10  # behind the end
_ADOBE_BYTES = 12
_ADOBE_COLOUR = {0: Colour.RGB, 1: Colour.YBR}

_SIZ = Struct(">4xHHIIIIIIIIH")  # from the marker: length, capabilities, sizes, offsets, tiles, components
_J2K_START = b"\xff\x4f\xff\x51"
_JP2_START = b"\x00\x00\x00\x0cjP  "
_BOX = Struct(">I4s")
_LONG_BOX = Struct(">8xQ")
_COD, _SOT = 0x52, 0x90


def jpeg_frame(data: bytes) -> CodedFrame:
    """Read a JPEG or JPEG-LS codestream up to its first scan; raises `CannotConvert`."""
    return _checked(_jpeg_frame, data, "JPEG")


def jpeg_2000_frame(data: bytes) -> CodedFrame:
    """Read the main header of a JPEG 2000 codestream, bare (PS3.5 A.4.4) or in a JP2 file as some have it."""
    return _checked(_jpeg_2000_frame, data, "JPEG 2000")


def _checked(read: Callable[[bytes], CodedFrame], data: bytes, name: str) -> CodedFrame:
    try:
        return read(data)
    except (error, IndexError):
        raise CannotConvert(f"a {name} frame ends within its header") from None


def _jpeg_frame(data: bytes) -> CodedFrame:
    kind, header, tables, colour = 0, b"", set(), Colour.AS_STATED
    for marker, segment in _segments(data):
        tables.add(marker)
        if marker in _DCT or marker in (_LOSSLESS, _JPEG_LS):
            kind, header = marker, segment
        elif marker == _SOS:
            _check_tables(kind, tables)
            _check_end(data)
            return _described(kind, header, segment, colour)
        elif 0xC0 <= marker <= 0xCF and marker not in (_DHT, 0xCC):
            raise CannotConvert(f"a JPEG frame uses the process FF{marker:02X}, which no codec reads")
        else:
            colour = _told_colour(marker, segment, colour)
    raise CannotConvert("a JPEG frame has no image")


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    if data[:2] != b"\xff\xd8":
        raise CannotConvert("a JPEG frame does not begin with its start marker")
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if data[at] != 0xFF:
            raise CannotConvert("a JPEG frame has something else than a marker in its header")
        marker = data[at + 1]
        at += 1
        if marker == 0xFF:  # fill bytes
            continue
        at += 1
        if marker in _STANDALONE:
            continue
        (length,) = _LENGTH.unpack_from(data, at)
        if at + length > len(data):
            raise CannotConvert("a JPEG frame ends within its header")
        yield marker, data[at + 2 : at + length]
        at += max(length, 2)


def _check_tables(kind: int, markers: set[int]) -> None:
    if not kind:
        raise CannotConvert("a JPEG frame has a scan before its frame header")
    if kind != _JPEG_LS and _DHT not in markers:
        raise CannotConvert("a JPEG frame has no Huffman tables")
    if kind in _DCT and _DQT not in markers:
        raise CannotConvert("a JPEG frame has no quantization tables")


def _check_end(data: bytes) -> None:
    """Demand the end marker, which no coded bytes look like: a decoder makes grey of what is missing before it."""
    if data.rfind(b"\xff\xd9", max(0, len(data) - _MAX_PADDING_BYTES)) < 0:
        raise CannotConvert("a JPEG frame is cut off: it has no end marker")


def _described(kind: int, header: bytes, scan: bytes, colour: Colour) -> CodedFrame:
    precision, rows, columns, samples = _FRAME_HEADER.unpack_from(header)
    components = [header[6 + 3 * index : 9 + 3 * index] for index in range(samples)]
    factors = {component[1] for component in components}
    is_dct = kind in _DCT
    if len(factors) > 1:
        if not is_dct:
            raise CannotConvert("a lossless JPEG frame has components of different sizes")
        colour = Colour.YBR if colour is Colour.AS_STATED else colour
    if bytes(component[0] for component in components) == b"RGB" and colour is Colour.AS_STATED:
        colour = Colour.RGB
    near = scan[1 + 2 * scan[0]] if kind == _JPEG_LS else 0
    return CodedFrame(
        rows,
        columns,
        samples,
        precision,
        is_lossy=is_dct or near > 0,
        colour=colour if is_dct else Colour.AS_STATED,
    )


def _told_colour(marker: int, segment: bytes, colour: Colour) -> Colour:
    """Return what an application marker tells: Adobe's says it, JFIF means YBR."""
    if marker == _APP14 and segment[:5] == b"Adobe" and len(segment) >= _ADOBE_BYTES:
        return _ADOBE_COLOUR.get(segment[11], colour)
    if marker == _APP0 and segment[:5] == b"JFIF\0" and colour is Colour.AS_STATED:
        return Colour.YBR
    return colour


def _jpeg_2000_frame(data: bytes) -> CodedFrame:
    start = _codestream_start(data)
    if data[start : start + 4] != _J2K_START:
        raise CannotConvert("a JPEG 2000 frame does not begin with its start marker")
    _, _, width, height, left, top, _, _, _, _, samples = _SIZ.unpack_from(data, start)
    components = [data[start + 42 + 3 * index : start + 45 + 3 * index] for index in range(samples)]
    if len({bytes(component) for component in components}) != 1 or components[0][1:] != b"\x01\x01":
        raise CannotConvert("a JPEG 2000 frame has components of different sizes or depths")
    depth = components[0][0]
    has_transform, is_lossy = _coding_style(data, start)
    return CodedFrame(
        height - top,
        width - left,
        samples,
        (depth & 0x7F) + 1,
        is_signed=depth > 0x7F,
        is_lossy=is_lossy,
        colour=Colour.RGB if has_transform else Colour.AS_STATED,
        start=start,
    )


def _codestream_start(data: bytes) -> int:
    """Return where the codestream begins: behind the boxes of a JP2 file, if it is in one."""
    if data[:8] != _JP2_START:
        return 0
    at = 0
    while at < len(data):
        length, kind = _BOX.unpack_from(data, at)
        if kind == b"jp2c":
            return at + (16 if length == 1 else 8)
        if length == 1:
            (length,) = _LONG_BOX.unpack_from(data, at)
        at += max(length, 8) if length else len(data)
    raise CannotConvert("a JP2 file has no codestream")


def _coding_style(data: bytes, start: int) -> tuple[bool, bool]:
    """Return whether the components are transformed, and whether the wavelet is the irreversible one."""
    at = start + 2
    while True:
        prefix, marker = data[at], data[at + 1]
        if prefix != 0xFF or marker == _SOT:
            raise CannotConvert("a JPEG 2000 frame has no coding style")
        if marker == _COD:
            return data[at + 8] == 1, data[at + 13] == 0
        (length,) = _LENGTH.unpack_from(data, at + 2)
        at += 2 + max(length, 2)
