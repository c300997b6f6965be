"""Data sets written by hand, right and wrong, for the tests of the header scan."""

import struct
from collections.abc import Mapping, Sequence

from pydicom._dicom_dict import DicomDictionary

from pacsnode.dicom.uid import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

LONG = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
UNDEFINED = 0xFFFFFFFF

CT = "1.2.840.10008.5.1.4.1.1.2"
UIDS: Mapping[int, tuple[str, bytes]] = {
    0x00080016: ("UI", CT.encode() + b"\0"),
    0x00080018: ("UI", b"1.2.826.0.1.3680043.8.498.1\0"),
    0x0020000D: ("UI", b"1.2.826.0.1.3680043.8.498.20"),
    0x0020000E: ("UI", b"1.2.826.0.1.3680043.8.498.30"),
}
SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)


def element(
    tag: int, vr: str, value: bytes, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, length: int | None = None
) -> bytes:
    """Return one element, with any length said of its value."""
    sign = ">" if syntax == EXPLICIT_VR_BIG_ENDIAN else "<"
    said = len(value) if length is None else length
    head = struct.pack(sign + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT_VR_LITTLE_ENDIAN or tag >> 16 == 0xFFFE:
        return head + struct.pack(sign + "I", said) + value
    if vr in LONG:
        return head + vr.encode() + b"\0\0" + struct.pack(sign + "I", said) + value
    return head + vr.encode("latin-1") + struct.pack(sign + "H", said) + value


def item(content: bytes = b"", syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, *, undefined: bool = True) -> bytes:
    """Return an item, of undefined length with its delimiter or of defined length."""
    if not undefined:
        return element(0xFFFEE000, "", content, syntax)
    return element(0xFFFEE000, "", content, syntax, UNDEFINED) + element(0xFFFEE00D, "", b"", syntax)


def sequence(
    tag: int, items: bytes, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, *, undefined: bool = True, vr: str = "SQ"
) -> bytes:
    """Return a sequence, of undefined length with its delimiter or of defined length."""
    if not undefined:
        return element(tag, vr, items, syntax)
    return element(tag, vr, items, syntax, UNDEFINED) + element(0xFFFEE0DD, "", b"", syntax)


def nested(levels: int, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, *, undefined: bool = True) -> bytes:
    """Return a sequence (0008,1140) with sequences within, `levels` deep."""
    inner = b""
    for _ in range(levels):
        inner = sequence(0x00081140, item(inner, syntax, undefined=undefined), syntax, undefined=undefined)
    return inner


def data_set(
    further: Mapping[int, tuple[str, bytes]] | None = None,
    syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
    *,
    without: tuple[int, ...] = (),
    raw: Mapping[int, bytes] | None = None,
) -> bytes:
    """Return a data set with the four UIDs, further elements and ready-made ones, in the order of tags."""
    elements = {
        tag: element(tag, vr, value, syntax)
        for tag, (vr, value) in {**UIDS, **(further or {})}.items()
        if tag not in without
    }
    return b"".join(value for _, value in sorted({**elements, **(raw or {})}.items()))


def ct_header(
    count: int, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, *, further: Mapping[int, bytes] | None = None
) -> bytes:
    """Return a header with `count` elements before its Pixel Data: text, numbers, a sequence, and `further` ones."""
    number = struct.pack((">" if syntax == EXPLICIT_VR_BIG_ENDIAN else "<") + "H", 512)
    values = {
        "CS": b"CT",
        "DA": b"20260304",
        "TM": b"101112.25 ",
        "SH": b"A-17",
        "PN": b"Doe^John^^",
        "LO": b"Chest PE",
        "IS": b"12",
        "DS": b"1.25",
        "AS": b"034Y",
        "LT": b"follow-up ",
        "US": number,
        "UI": b"1.2.826.0.1\0",
        "ST": b"nothing ",
        "AE": b"CT1 ",
    }
    chosen: dict[int, tuple[str, bytes]] = {0x00080005: ("CS", b"ISO_IR 100")}
    for tag, (vr, *_) in sorted(DicomDictionary.items()):
        if 0x00080000 < tag <= 0x00400254 and vr in values and tag not in UIDS and len(chosen) < count - 5:
            chosen[tag] = (vr, values[vr])
    for tag, vr in ((0x00280010, "US"), (0x00280011, "US"), (0x00320032, "DA"), (0x00400244, "DA")):
        chosen.setdefault(tag, (vr, values[vr]))
    reference = element(0x00081150, "UI", b"1.2.826.0.1\0", syntax)
    raw = {0x00081140: sequence(0x00081140, item(reference, syntax), syntax)}
    return data_set(chosen, syntax, raw={**raw, **(further or {})}) + element(
        0x7FE00010, "OW", bytes(64), syntax
    )


Mutation = tuple[int, int, bytes]  # an offset, how many bytes go there, what comes in their place


def mutated(data: bytes, mutations: Sequence[Mutation]) -> bytes:
    """Return the data with some bytes replaced, taken out or put in."""
    for offset, removed, inserted in mutations:
        at = offset % max(len(data), 1)
        data = data[:at] + inserted + data[at + removed :]
    return data
