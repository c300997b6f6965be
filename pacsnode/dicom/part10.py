"""The DICOM file format: preamble, prefix and File Meta Information (PS3.10 7.1).

`file_meta` writes what stands before a data set that was received, `parse_meta` reads that back, and
`identify` makes out a file of unknown origin that a user wants to send.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pacsnode.dicom import deflate, elements, encoding, uid
from pacsnode.dicom.encoding import EXPLICIT_LITTLE, LITTLE_ENDIAN, LONG_VRS, SHORT_VRS, Encoding
from pacsnode.dicom.nesting import ended_early
from pacsnode.errors import InvalidUID, UnreadableDataSet

IMPLEMENTATION_CLASS_UID = "2.25.14965350352500828672737893975349987682"
IMPLEMENTATION_VERSION_NAME = "PACSNODE_0_1"

_PREFIX = b"DICM"
_PREAMBLE_BYTES = 128
_META_GROUP = 0x0002
_DIRECTORY_GROUP = 0x0004
_MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
_TRANSFER_SYNTAX_UID = 0x00020010
_SENDING_AE_TITLE = 0x00020017
_RECEIVING_AE_TITLE = 0x00020018
_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018
_MAX_META_BYTES = 1 << 20  # private information, (0002,0102), has no limit of its own
_VERSION = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"


@dataclass(frozen=True, slots=True)
class Meta:
    """What a file says of itself, and where its data set begins. UIDs are validated; titles may be empty."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    data_set_offset: int


def file_meta(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    calling_ae_title: str,
    called_ae_title: str,
) -> bytes:
    """Return all that stands before the data set in a file; the arguments are validated already."""
    before = _before_instance(sop_class_uid)
    instance = _element(_MEDIA_STORAGE_SOP_INSTANCE_UID, b"UI", sop_instance_uid)
    after = _after_instance(transfer_syntax_uid, calling_ae_title, called_ae_title)
    return b"%b%b%b%b%b" % (
        _START,
        _LENGTH(len(before) + len(instance) + len(after)),
        before,
        instance,
        after,
    )


_START = bytes(_PREAMBLE_BYTES) + _PREFIX + b"\x02\x00\x00\x00UL\x04\x00"
_LENGTH = struct.Struct("<I").pack
_HEADER = struct.Struct("<HH2sH").pack


def _element(tag: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _HEADER(tag >> 16, tag & 0xFFFF, vr, len(value)) + value


@lru_cache(maxsize=512)
def _before_instance(sop_class_uid: str) -> bytes:
    return _VERSION + _element(_MEDIA_STORAGE_SOP_CLASS_UID, b"UI", sop_class_uid)


@lru_cache(maxsize=1024)
def _after_instance(transfer_syntax_uid: str, calling_ae_title: str, called_ae_title: str) -> bytes:
    return b"".join(
        (
            _element(_TRANSFER_SYNTAX_UID, b"UI", transfer_syntax_uid),
            _element(0x00020012, b"UI", IMPLEMENTATION_CLASS_UID),
            _element(0x00020013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _element(_SENDING_AE_TITLE, b"AE", calling_ae_title.strip(" \0")[:16]),
            _element(_RECEIVING_AE_TITLE, b"AE", called_ae_title.strip(" \0")[:16]),
        )
    )


def parse_meta(head: bytes) -> Meta:
    """Return the meta of a Part 10 file from its first bytes (4 KiB are plenty for our own).

    Raises `UnreadableDataSet` unless preamble, prefix and the three UIDs are there. (0002,0000) is not
    believed: the meta ends where its group does.
    """
    if head[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] != _PREFIX:
        raise UnreadableDataSet("not a DICOM file: no DICM after the preamble of 128 bytes (PS3.10 7.1)")
    values, offset = _meta_values(head, _PREAMBLE_BYTES + 4, is_complete=True)
    return Meta(
        _required_uid(values, _MEDIA_STORAGE_SOP_CLASS_UID),
        _required_uid(values, _MEDIA_STORAGE_SOP_INSTANCE_UID),
        _required_uid(values, _TRANSFER_SYNTAX_UID),
        _title(values, _SENDING_AE_TITLE),
        _title(values, _RECEIVING_AE_TITLE),
        offset,
    )


def identify(head: bytes, *, is_complete: bool) -> Meta:
    """Return what a file of unknown origin is, from its first bytes or, if `is_complete`, all of it.

    Preamble, meta and its length may be missing. Where the meta contradicts the data set, or lacks a UID, the
    data set counts: its SOP Class and Instance UID, and the way in which its elements are written. Raises
    `UnreadableDataSet` for what can't be sent, a DICOMDIR among it, and `Incomplete` when more bytes are
    needed (a caller gives up at `header.HEADER_LIMIT_BYTES`).
    """
    values, offset = _meta_values(head, _meta_offset(head), is_complete=is_complete)
    if is_complete and offset >= len(head):
        raise UnreadableDataSet("the file has no data set")
    claimed = _uid_or_none(values, _TRANSFER_SYNTAX_UID)
    found, transfer_syntax_uid = _data_set_uids(head[offset:], claimed, is_complete=is_complete)
    sop_class_uid = _uid_or_none(found, _SOP_CLASS_UID) or _uid_or_none(values, _MEDIA_STORAGE_SOP_CLASS_UID)
    sop_instance_uid = _uid_or_none(found, _SOP_INSTANCE_UID) or _uid_or_none(
        values, _MEDIA_STORAGE_SOP_INSTANCE_UID
    )
    if sop_class_uid == uid.MEDIA_STORAGE_DIRECTORY:
        raise UnreadableDataSet("a DICOMDIR lists the files of a medium and is no instance: send those files")
    if sop_class_uid is None or sop_instance_uid is None:
        raise UnreadableDataSet("not a DICOM instance: no valid SOP Class UID and SOP Instance UID")
    return Meta(
        sop_class_uid,
        sop_instance_uid,
        transfer_syntax_uid,
        _title(values, _SENDING_AE_TITLE),
        _title(values, _RECEIVING_AE_TITLE),
        offset,
    )


def _meta_offset(head: bytes) -> int:
    if head[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == _PREFIX:
        return _PREAMBLE_BYTES + 4
    return 4 if head[:4] == _PREFIX else 0


def _meta_values(head: bytes, at: int, *, is_complete: bool) -> tuple[dict[int, bytes], int]:
    """Return the elements of group 0002, in Explicit VR Little Endian (PS3.10 7.1), and where they end."""
    values: dict[int, bytes] = {}
    while at + 8 <= len(head):
        group, element, vr, length = LITTLE_ENDIAN.explicit(head, at)
        if group != _META_GROUP:
            return values, at
        start = at + 8
        if vr in LONG_VRS and at + 12 <= len(head):
            start, length = at + 12, LITTLE_ENDIAN.uint32(head, at + 8)[0]
        elif vr not in SHORT_VRS:
            start, length = encoding.odd_header(head, at, LITTLE_ENDIAN)
        at = start + length
        if at > _MAX_META_BYTES:
            raise UnreadableDataSet(f"the file meta information is longer than {_MAX_META_BYTES} bytes")
        values[group << 16 | element] = head[start:at]
    if at > len(head) or not is_complete:
        raise ended_early(at + 8, is_complete=is_complete)
    return values, at


def _data_set_uids(data: bytes, claimed: str | None, *, is_complete: bool) -> tuple[Mapping[int, bytes], str]:
    """Return what the data set says of its SOP class and instance, and its transfer syntax."""
    if claimed is not None and uid.is_deflated(claimed):
        found = deflate.first_answer(
            data,
            lambda prefix, is_whole: _uids_in(prefix, EXPLICIT_LITTLE, is_complete=is_whole),
            is_complete=is_complete,
        )
        return found, claimed
    written = encoding.detected(data, encoding.declared(claimed) if claimed else EXPLICIT_LITTLE)
    return _uids_in(data, written, is_complete=is_complete), _agreed(claimed, written)


def _uids_in(data: encoding.Data, written: Encoding, *, is_complete: bool) -> Mapping[int, bytes]:
    if len(data) >= 8 and written.order.implicit(data, 0)[0] == _DIRECTORY_GROUP:
        raise UnreadableDataSet("a DICOMDIR lists the files of a medium and is no instance: send those files")
    wanted = frozenset((_SOP_CLASS_UID, _SOP_INSTANCE_UID))
    return elements.values_of(data, written, wanted, max(wanted), is_complete=is_complete)


def _agreed(claimed: str | None, written: Encoding) -> str:
    """Return the claimed transfer syntax if the data set is written that way, else the one that it is in."""
    if claimed is not None and (encoding.declared(claimed) == written or uid.is_encapsulated(claimed)):
        return claimed  # which is also all that is known of the way in which the pixels are compressed
    if written.is_implicit:
        return uid.IMPLICIT_VR_LITTLE_ENDIAN
    return uid.EXPLICIT_VR_LITTLE_ENDIAN if written.order is LITTLE_ENDIAN else uid.EXPLICIT_VR_BIG_ENDIAN


def _required_uid(values: Mapping[int, bytes], tag: int) -> str:
    found = _uid_or_none(values, tag)
    if found is None:
        raise UnreadableDataSet(
            f"the file meta information has no valid ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        )
    return found


def _uid_or_none(values: Mapping[int, bytes], tag: int) -> str | None:
    try:
        return uid.validated(values.get(tag, b""))
    except InvalidUID:
        return None


def _title(values: Mapping[int, bytes], tag: int) -> str:
    return values.get(tag, b"")[:16].decode("ascii", "replace").strip(" \0")
