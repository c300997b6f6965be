"""The VR of an element that carries none: PS3.6's tables, and the rules for attributes that may have several.

What an attribute with several VRs has is told by others of the same data set, or of the one around it, which stand
before it (PS3.5 A.1, PS3.3 C.7.6.3.1.4 and C.10.9.1.4.4).
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from pydicom.datadict import dictionary_VR, private_dictionary_VR

from pacsnode.dicom.catalogue import creator_of, is_creator
from pacsnode.dicom.encoding import LONG_VRS, SHORT_VRS

UNKNOWN = b"UN"

PIXEL_REPRESENTATION = 0x00280103
BITS_ALLOCATED = 0x00280100
WAVEFORM_BITS_ALLOCATED = 0x54001004
PIXEL_DATA = 0x7FE00010

_WAVEFORM_GROUP = 0x5400
_STEERING = frozenset((PIXEL_REPRESENTATION, BITS_ALLOCATED, WAVEFORM_BITS_ALLOCATED))


class Surroundings:
    """What the VRs of a data set, or of an item, depend on. Elements are noted as they are passed."""

    __slots__ = ("_creators", "_numbers")

    def __init__(self, numbers: Mapping[int, int] = MappingProxyType({})) -> None:
        self._numbers = dict(numbers)
        self._creators: dict[int, str] = {}

    def of_item(self) -> "Surroundings":
        """Return what an item begins with; private blocks are reserved anew in each (PS3.5 7.8.1)."""
        return Surroundings(self._numbers)

    def note(self, tag: int, value: bytes, byte_order: str) -> None:
        """Take notice of an element that others depend on."""
        if tag in _STEERING:
            self._numbers[tag] = int.from_bytes(value[:2], "big" if byte_order == "big" else "little")
        elif is_creator(tag):
            self._creators[tag] = creator_of(value)

    def steers(self, tag: int) -> bool:
        """Return whether others depend on this element."""
        return tag in _STEERING or is_creator(tag)

    def vr_of(self, tag: int) -> bytes:
        """Return the VR of an element, `UN` for one that nobody knows."""
        vr = self._private(tag) if tag >> 16 & 1 else _public(tag)
        return vr if len(vr) == 2 else self._one_of(tag, vr)

    def _private(self, tag: int) -> bytes:
        if tag & 0xFFFF == 0:
            return b"UL"
        if is_creator(tag):
            return b"LO"
        creator = self._creators.get(tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8)
        return UNKNOWN if creator is None else _of_creator(tag, creator)

    def _one_of(self, tag: int, vrs: bytes) -> bytes:
        if b"OB" in vrs:
            return self._bytes_or_words(tag)
        if b"OW" in vrs:  # the data of a look-up table: as US a long one could not be written
            return b"OW"
        return b"SS" if self._numbers.get(PIXEL_REPRESENTATION) == 1 else b"US"

    def _bytes_or_words(self, tag: int) -> bytes:
        bits = 16
        if tag >> 16 == _WAVEFORM_GROUP:
            bits = self._numbers.get(WAVEFORM_BITS_ALLOCATED, 16)
        elif tag == PIXEL_DATA:
            bits = self._numbers.get(BITS_ALLOCATED, 16)
        return b"OW" if bits > 8 else b"OB"


@lru_cache(maxsize=8192)
def _public(tag: int) -> bytes:
    """Return the VR of a public attribute, of a group length, or `UN`."""
    if tag & 0xFFFF == 0:
        return b"UL"
    try:
        return dictionary_VR(tag).encode("ascii")
    except KeyError:
        return UNKNOWN


@lru_cache(maxsize=4096)
def _of_creator(tag: int, creator: str) -> bytes:
    try:
        vr = private_dictionary_VR(tag, creator).encode("ascii")
    except KeyError:
        return UNKNOWN
    return vr if vr in SHORT_VRS or vr in LONG_VRS or b" or " in vr else UNKNOWN
