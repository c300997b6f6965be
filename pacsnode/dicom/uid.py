"""UIDs: validation (PS3.5 9.1) and the packed form that the index keeps.

A UID from the network passes `validated` before it becomes a path, an object name or SQL. Packed, a UID is
one nibble a character (digits as they are, `A` for a dot, `F` to fill the last byte): half the size of the
text, and SQLite turns it back with `rtrim(replace(hex(uid), 'A', '.'), 'F')`.

Also which SOP classes are kept and in which transfer syntaxes (PS3.6 A). The tables are literal, and the
tests hold them to pydicom's UID dictionary, so that a new edition of the Standard is a decision and not an
accident.
"""

import re

from pacsnode.errors import InvalidUID

MAX_LENGTH = 64

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

_DICOM_ROOT = "1.2.840.10008."
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_PIXEL_SYNTAX_ROOT = "1.2.840.10008.1.2.4."

# Storage SOP classes that are registered elsewhere than under _STORAGE_ROOT, retired ones included.
_OTHER_STORAGE = frozenset(
    (
        "1.2.840.10008.5.1.1.27",  # Stored Print
        "1.2.840.10008.5.1.1.29",  # Hardcopy Grayscale Image
        "1.2.840.10008.5.1.1.30",  # Hardcopy Color Image
        "1.2.840.10008.5.1.4.34.1",  # RT Beams Delivery Instruction - Trial
        "1.2.840.10008.5.1.4.34.7",  # RT Beams Delivery Instruction
        "1.2.840.10008.5.1.4.34.10",  # RT Brachy Application Setup Delivery Instruction
    )
)
# PS3.4 GG: they belong to no patient and no study.
_NON_PATIENT_OBJECTS = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.200.1",  # CT Defined Procedure Protocol
        "1.2.840.10008.5.1.4.1.1.200.3",  # Protocol Approval
        "1.2.840.10008.5.1.4.1.1.200.7",  # XA Defined Procedure Protocol
        "1.2.840.10008.5.1.4.1.1.201.1",  # Inventory
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol
        "1.2.840.10008.5.1.4.39.1",  # Color Palette
        "1.2.840.10008.5.1.4.43.1",  # Generic Implant Template
        "1.2.840.10008.5.1.4.44.1",  # Implant Assembly Template
        "1.2.840.10008.5.1.4.45.1",  # Implant Template Group
    )
)
# Under _STORAGE_ROOT but not stored: query, retrieve and creation services of protocols and inventories.
_SERVICES = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.200.4",  # Protocol Approval - FIND
        "1.2.840.10008.5.1.4.1.1.200.5",  # Protocol Approval - MOVE
        "1.2.840.10008.5.1.4.1.1.200.6",  # Protocol Approval - GET
        "1.2.840.10008.5.1.4.1.1.201.1.1",  # Inventory, the well-known instance
        "1.2.840.10008.5.1.4.1.1.201.2",  # Inventory - FIND
        "1.2.840.10008.5.1.4.1.1.201.3",  # Inventory - MOVE
        "1.2.840.10008.5.1.4.1.1.201.4",  # Inventory - GET
        "1.2.840.10008.5.1.4.1.1.201.5",  # Inventory Creation
        "1.2.840.10008.5.1.4.1.1.201.6",  # Repository Query
    )
)

# The pixels lie elsewhere, behind a URL that outlives nobody: committing to it would destroy images.
_REFERENCED_PIXELS = frozenset(_PIXEL_SYNTAX_ROOT + last for last in ("94", "95", "204", "205"))

# All that carry their pixels, in the order of PS3.6 A; also those that never came into use, since a file in
# one is kept as it is like any other. Without Papyrus 3, MIME and XML, which are no encodings of PS3.5.
ACCEPTED_TRANSFER_SYNTAXES: tuple[str, ...] = (
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.1.98",  # Encapsulated Uncompressed Explicit VR Little Endian
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline (Process 1)
    "1.2.840.10008.1.2.4.51",  # JPEG Extended (Process 2 and 4)
    "1.2.840.10008.1.2.4.52",  # JPEG Extended (Process 3 and 5), retired like all up to .66 but .57
    "1.2.840.10008.1.2.4.53",  # JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)
    "1.2.840.10008.1.2.4.54",  # JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)
    "1.2.840.10008.1.2.4.55",  # JPEG Full Progression, Non-Hierarchical (Process 10 and 12)
    "1.2.840.10008.1.2.4.56",  # JPEG Full Progression, Non-Hierarchical (Process 11 and 13)
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless, Non-Hierarchical (Process 14)
    "1.2.840.10008.1.2.4.58",  # JPEG Lossless, Non-Hierarchical (Process 15)
    "1.2.840.10008.1.2.4.59",  # JPEG Extended, Hierarchical (Process 16 and 18)
    "1.2.840.10008.1.2.4.60",  # JPEG Extended, Hierarchical (Process 17 and 19)
    "1.2.840.10008.1.2.4.61",  # JPEG Spectral Selection, Hierarchical (Process 20 and 22)
    "1.2.840.10008.1.2.4.62",  # JPEG Spectral Selection, Hierarchical (Process 21 and 23)
    "1.2.840.10008.1.2.4.63",  # JPEG Full Progression, Hierarchical (Process 24 and 26)
    "1.2.840.10008.1.2.4.64",  # JPEG Full Progression, Hierarchical (Process 25 and 27)
    "1.2.840.10008.1.2.4.65",  # JPEG Lossless, Hierarchical (Process 28)
    "1.2.840.10008.1.2.4.66",  # JPEG Lossless, Hierarchical (Process 29)
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, Non-Hierarchical, First-Order Prediction
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS Lossy (Near-Lossless)
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 (Lossless Only)
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.92",  # JPEG 2000 Part 2 Multi-component (Lossless Only)
    "1.2.840.10008.1.2.4.93",  # JPEG 2000 Part 2 Multi-component
    "1.2.840.10008.1.2.4.100",  # MPEG2 Main Profile / Main Level
    "1.2.840.10008.1.2.4.100.1",  # Fragmentable MPEG2 Main Profile / Main Level
    "1.2.840.10008.1.2.4.101",  # MPEG2 Main Profile / High Level
    "1.2.840.10008.1.2.4.101.1",  # Fragmentable MPEG2 Main Profile / High Level
    "1.2.840.10008.1.2.4.102",  # MPEG-4 AVC/H.264 High Profile / Level 4.1
    "1.2.840.10008.1.2.4.102.1",  # Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1
    "1.2.840.10008.1.2.4.103",  # MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1
    "1.2.840.10008.1.2.4.103.1",  # Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1
    "1.2.840.10008.1.2.4.104",  # MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video
    "1.2.840.10008.1.2.4.104.1",  # Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video
    "1.2.840.10008.1.2.4.105",  # MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video
    "1.2.840.10008.1.2.4.105.1",  # Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video
    "1.2.840.10008.1.2.4.106",  # MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2
    "1.2.840.10008.1.2.4.106.1",  # Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2
    "1.2.840.10008.1.2.4.107",  # HEVC/H.265 Main Profile / Level 5.1
    "1.2.840.10008.1.2.4.108",  # HEVC/H.265 Main 10 Profile / Level 5.1
    "1.2.840.10008.1.2.4.110",  # JPEG XL Lossless
    "1.2.840.10008.1.2.4.111",  # JPEG XL JPEG Recompression
    "1.2.840.10008.1.2.4.112",  # JPEG XL
    "1.2.840.10008.1.2.4.201",  # High-Throughput JPEG 2000 (Lossless Only)
    "1.2.840.10008.1.2.4.202",  # High-Throughput JPEG 2000 with RPCL Options (Lossless Only)
    "1.2.840.10008.1.2.4.203",  # High-Throughput JPEG 2000
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.8.1",  # Deflated Image Frame Compression
)
_ACCEPTED = frozenset(ACCEPTED_TRANSFER_SYNTAXES)
_NATIVE = frozenset(
    (
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
    )
)

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)


def validated(value: str | bytes) -> str:
    """Return the UID without its padding, or raise `InvalidUID`.

    One trailing NUL or trailing spaces are padding. Leading zeros in a component, which PS3.5 9.1
    forbids, are accepted, since real devices send them. The value is not quoted: where a UID should stand, broken
    devices put other things, names of patients among them.
    """
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    text = text.removesuffix("\0").rstrip(" ")
    if not 1 <= len(text) <= MAX_LENGTH or not _UID.fullmatch(text):
        are = "character that is" if len(text) == 1 else "characters that are"
        raise InvalidUID(f"{len(text)} {are} no UID: 1 to 64 digits and dots, as in 1.2.840")
    return text


def packed(uid: str) -> bytes:
    """Return a validated UID at one nibble a character."""
    return bytes.fromhex(uid.replace(".", "a") + "f" * (len(uid) & 1))


def unpacked(blob: bytes) -> str:
    """Return the UID that `packed` was given."""
    return blob.hex().replace("a", ".").rstrip("f")


def is_non_patient_object(uid: str) -> bool:
    """Return whether the SOP class is one of PS3.4 GG, whose instances belong to no study."""
    return uid in _NON_PATIENT_OBJECTS


def is_storage_sop_class(uid: str, *, private: bool = True) -> bool:
    """Return whether instances of the SOP class are kept.

    Registered classes are, retired ones included, but for Non-Patient Objects; unknown ones where PS3.6
    registers storage classes, since each edition brings some; those of other roots if `private`.
    """
    if not uid.startswith(_DICOM_ROOT):
        return private
    if uid.startswith(_STORAGE_ROOT):
        return uid not in _NON_PATIENT_OBJECTS and uid not in _SERVICES
    return uid in _OTHER_STORAGE


def is_accepted_transfer_syntax(uid: str) -> bool:
    """Return whether data sets in the transfer syntax are kept: they carry their pixels, and can be read.

    Unknown ones are accepted only where PS3.6 registers compressions, which are all Explicit VR Little
    Endian.
    """
    return uid in _ACCEPTED or (uid.startswith(_PIXEL_SYNTAX_ROOT) and uid not in _REFERENCED_PIXELS)


def is_implicit_vr(transfer_syntax_uid: str) -> bool:
    """Return whether elements carry no VR (PS3.5 A.1)."""
    return transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN


def is_big_endian(transfer_syntax_uid: str) -> bool:
    """Return whether numbers are written with the high byte first (PS3.5 A.3, retired)."""
    return transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN


def is_deflated(transfer_syntax_uid: str) -> bool:
    """Return whether the whole data set is deflated (PS3.5 A.5)."""
    return transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN


def is_encapsulated(transfer_syntax_uid: str) -> bool:
    """Return whether Pixel Data are fragments (PS3.5 A.4); so they are in a syntax that is not known."""
    return transfer_syntax_uid not in _NATIVE
