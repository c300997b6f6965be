"""Icon Image Sequence (PS3.3 C.7.6.1.1.6): its Pixel Data are encapsulated too, or native (PS3.5 A.4).

An item of a sequence is a data set, so an icon is converted as any other.
"""

from collections.abc import Callable
from io import BytesIO
from struct import Struct
from typing import BinaryIO

from pacsnode.dicom import uid
from pacsnode.dicom.encoding import ITEM, UNDEFINED_LENGTH
from pacsnode.dicom.reencoding import Changes, Header, PixelData, read_header, reencode
from pacsnode.errors import CannotConvert
from pacsnode.transcode.image import Limits

ICON_IMAGE_SEQUENCE = 0x00880200

_MAX_BYTES = 4 << 20  # an icon is 64 by 64; a longer sequence has no length that could be read here
_ITEM = Struct("<HHI")
_SEQUENCE = Struct("<HH2sxxI")


class _Bounded(BytesIO):
    """Takes the sequence and what little comes along, and no more."""

    def write(self, piece: object) -> int:
        if self.tell() > 2 * _MAX_BYTES:
            raise CannotConvert("the data set has an icon that is too long")
        return super().write(piece)  # type: ignore[arg-type]


def native_icons(
    source: BinaryIO, header: Header, stored: str, limits: Limits, transcode: Callable[..., None]
) -> tuple[str, bytes] | None:
    """Return the sequence with native Pixel Data, or None: to be left out, as an icon that is damaged is.

    The source stands at the data set's first byte. An icon is optional, and shows nothing that the image does
    not, so that a bad one costs itself only.
    """
    try:
        items = [
            _native(item, stored, limits, transcode) for item in _items(_sequence(source, header, stored))
        ]
    except CannotConvert:
        return None
    head = (_ITEM.pack(ITEM >> 16, ITEM & 0xFFFF, len(item)) + item for item in items)
    return "SQ", b"".join(head)


def _native(item: bytes, stored: str, limits: Limits, transcode: Callable[..., None]) -> bytes:
    at = read_header(BytesIO(item), stored).pixel_data
    if at is None or at.length is not None:
        return item
    sink = BytesIO()
    transcode(BytesIO(item), sink, stored=stored, wanted=uid.EXPLICIT_VR_LITTLE_ENDIAN, limits=limits)
    return sink.getvalue()


def _sequence(source: BinaryIO, header: Header, stored: str) -> bytes:
    """Return the value of the sequence in Explicit VR Little Endian, its items with a length."""
    others = (header.elements.keys() | header.sequences) - {ICON_IMAGE_SEQUENCE}
    sink = _Bounded()
    changes = Changes(dict.fromkeys(others), PixelData("OB", 0, ()))
    reencode(source, sink, stored=stored, wanted=stored, changes=changes)
    data = sink.getvalue()
    at = data.find(_SEQUENCE.pack(ICON_IMAGE_SEQUENCE >> 16, ICON_IMAGE_SEQUENCE & 0xFFFF, b"SQ", 0)[:8])
    _, _, _, length = _SEQUENCE.unpack_from(data, at)
    if length == UNDEFINED_LENGTH or length > _MAX_BYTES:
        raise CannotConvert("the data set has an icon that is too long")
    return data[at + _SEQUENCE.size : at + _SEQUENCE.size + length]


def _items(value: bytes) -> list[bytes]:
    items, at = [], 0
    while at < len(value):
        _, _, length = _ITEM.unpack_from(value, at)
        items.append(value[at + _ITEM.size : at + _ITEM.size + length])
        at += _ITEM.size + length
    return items
