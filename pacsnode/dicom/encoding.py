"""How data elements are written down: byte order, explicit or implicit VR (PS3.5 7.1), and odd ones.

A declared transfer syntax is a claim. `detected` looks at the first element, and `odd_header` at a single
element whose VR is none, so that the scan of a data set from a careless device goes on where DCMTK and
pydicom would.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from types import MappingProxyType
from typing import Literal

from pacsnode.dicom import uid

Data = bytes | bytearray

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_DELIMITATION = 0xFFFEE00D
SEQUENCE_DELIMITATION = 0xFFFEE0DD
DELIMITERS = 0xFFFE  # the group of the three
PIXEL_DATA_GROUP = 0x7FE0

# PS3.5 Table 7.1-2: a length of 16 bits; Table 7.1-1: two reserved bytes and a length of 32 bits.
SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split(),
)
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SEQUENCE_VRS = frozenset((b"SQ", b"UN"))

# How many bytes of a value are turned round in Big Endian (PS3.5 7.3); all other VRs are bytes.
WORD_BYTES = MappingProxyType(
    {
        **dict.fromkeys((b"AT", b"OW", b"SS", b"US"), 2),
        **dict.fromkeys((b"FL", b"OF", b"OL", b"SL", b"UL"), 4),
        **dict.fromkeys((b"FD", b"OD", b"OV", b"SV", b"UV"), 8),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class ByteOrder:
    """There are two. Reads the headers of one byte order at an offset; data that are too short raise `struct.error`."""

    name: Literal["little", "big"]
    explicit: Callable[[Data, int], tuple[int, int, bytes, int]]  # group, element, VR, 16-bit length
    implicit: Callable[[Data, int], tuple[int, int, int]]  # group, element, 32-bit length
    uint32: Callable[[Data, int], tuple[int]]
    item: bytes  # the tag of an Item as it stands in the data

    def uint16(self, data: Data, at: int) -> int:
        """Return the unsigned 16-bit number at an offset."""
        return int.from_bytes(data[at : at + 2], self.name)


def _byte_order(name: Literal["little", "big"], sign: str) -> ByteOrder:
    return ByteOrder(
        name,
        Struct(sign + "HH2sH").unpack_from,
        Struct(sign + "HHI").unpack_from,
        Struct(sign + "I").unpack_from,
        Struct(sign + "HH").pack(ITEM >> 16, ITEM & 0xFFFF),
    )


LITTLE_ENDIAN = _byte_order("little", "<")
BIG_ENDIAN = _byte_order("big", ">")


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """There are three. Whether the VR is implicit, and the byte order."""

    is_implicit: bool
    order: ByteOrder


IMPLICIT_LITTLE = Encoding(is_implicit=True, order=LITTLE_ENDIAN)
EXPLICIT_LITTLE = Encoding(is_implicit=False, order=LITTLE_ENDIAN)
EXPLICIT_BIG = Encoding(is_implicit=False, order=BIG_ENDIAN)


def declared(transfer_syntax_uid: str) -> Encoding:
    """Return what a transfer syntax says; all but three are Explicit VR Little Endian (PS3.5 A.4)."""
    if uid.is_implicit_vr(transfer_syntax_uid):
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if uid.is_big_endian(transfer_syntax_uid) else EXPLICIT_LITTLE


def detected(data: Data, claim: Encoding) -> Encoding:
    """Return the encoding of the first element of a data set, which is `claim` unless the bytes speak against
    it.

    Two capital letters in the place of the VR are a VR: read as an implicit length they would make the first
    element longer than 16 KiB. Groups begin low, so a first group that is low in one byte order only tells
    it.
    """
    if len(data) < 8:
        return claim
    if not has_vr(data, 0):
        return IMPLICIT_LITTLE if claim.is_implicit or _reads_as_implicit(data) else claim
    little, big = LITTLE_ENDIAN.uint16(data, 0), BIG_ENDIAN.uint16(data, 0)
    if little > 0xFF >= big:
        return EXPLICIT_BIG
    if big > 0xFF >= little:
        return EXPLICIT_LITTLE
    return EXPLICIT_LITTLE if claim.is_implicit else claim


def has_vr(data: Data, at: int) -> bool:
    """Return whether the element at an offset has two capital letters in the place of its VR."""
    vr = data[at + 4 : at + 6]
    return len(vr) == 2 and 0x41 <= vr[0] <= 0x5A and 0x41 <= vr[1] <= 0x5A


def odd_header(data: Data, at: int, order: ByteOrder) -> tuple[int, int]:
    """Return where the value of an element with an unknown VR begins, and its length.

    A VR that is not yet known has a length of 32 bits (PS3.5 6.2), but old devices invent some with 16; one
    that is no letters (two spaces, two NULs) is an implicit length or a VR left empty. The reading whose end
    looks like the next element wins; if none does, pydicom's choice.
    """
    short = (at + 8, order.uint16(data, at + 6))
    readings = [short]
    if len(data) >= at + 12 and order.uint16(data, at + 6) == 0:
        readings.append((at + 12, order.uint32(data, at + 8)[0]))
    if not has_vr(data, at):
        readings.insert(0, (at + 8, order.uint32(data, at + 4)[0]))
    return max(readings, key=lambda reading: _likelihood(data, at, sum(reading), order))


def _likelihood(data: Data, at: int, following: int, order: ByteOrder) -> int:
    """Rate what follows an element: 2 a later tag with a VR or the end, 1 a later tag, 0 anything else."""
    if following + 8 > len(data):
        return 2 if following == len(data) else 0
    group, element, vr, _ = order.explicit(data, following)
    if group == DELIMITERS:
        return 2
    if (group, element) <= order.implicit(data, at)[:2]:
        return 0
    return 2 if vr in SHORT_VRS or vr in LONG_VRS else 1


def _reads_as_implicit(data: Data) -> bool:
    """Return whether the second element shows that the first is implicit, and not just without its VR."""
    following = 8 + LITTLE_ENDIAN.uint32(data, 4)[0]
    if LITTLE_ENDIAN.uint32(data, 4)[0] == UNDEFINED_LENGTH or following == len(data):
        return True
    if following + 8 > len(data):
        return False
    is_later = LITTLE_ENDIAN.implicit(data, following)[:2] > LITTLE_ENDIAN.implicit(data, 0)[:2]
    return is_later and not has_vr(data, following)


def turned_round(data: bytes, word: int) -> bytes:
    """Return words of so many bytes in the other byte order; bytes that make no whole word stay."""
    whole = len(data) // word * word
    turned = bytearray(data)
    for at in range(word):
        turned[at:whole:word] = data[word - 1 - at : whole : word]
    return bytes(turned)
