"""PDU types, their bounds and the few that are made by hand (PS3.8 9.3).

Everything that arrives announces its length before its body: `check_length` decides on the six header bytes
alone, so that no buffer is ever allocated for a length that lies.
"""

import struct
from enum import IntEnum

from pacsnode.dimse.association.endings import (
    AbortReason,
    AssociationOver,
    ConnectionLost,
    PeerAborted,
    ProtocolViolation,
)

HEADER = struct.Struct(">BxI")  # PDU type, length of what follows
PDV_HEADER = struct.Struct(">IBB")  # length of context ID, control and fragment; context ID; control
P_DATA_HEADER = struct.Struct(">BxIIBB")  # a P-DATA-TF PDU with one PDV
PDV_OVERHEAD = 6

MAX_ASSOCIATE_BYTES = 256 << 10

IS_COMMAND = 0x01
IS_LAST = 0x02


class PDUType(IntEnum):
    """PDU type (PS3.8 9.3.1)."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


_SOURCE_USER, _SOURCE_PROVIDER = 0, 2
_CONTROL_LENGTH = 4
_ASSOCIATE = frozenset({PDUType.A_ASSOCIATE_RQ, PDUType.A_ASSOCIATE_AC})
_TYPES = frozenset(PDUType)

A_RELEASE_RQ = HEADER.pack(PDUType.A_RELEASE_RQ, 4) + bytes(4)
A_RELEASE_RP = HEADER.pack(PDUType.A_RELEASE_RP, 4) + bytes(4)


def a_abort(source: int, reason: int) -> bytes:
    """Return an A-ABORT PDU (PS3.8 9.3.8): source 0 is the service user, 2 the provider."""
    return HEADER.pack(PDUType.A_ABORT, 4) + bytes((0, 0, source, reason))


def abort_of(over: AssociationOver | None) -> bytes | None:
    """Return the A-ABORT PDU that tells a peer how its association ended; None if it has left already."""
    if isinstance(over, (PeerAborted, ConnectionLost)):
        return None
    if isinstance(over, ProtocolViolation):
        return a_abort(_SOURCE_PROVIDER, over.reason)
    return a_abort(_SOURCE_USER, 0)


def check_length(pdu_type: int, length: int, *, max_pdu_bytes: int) -> None:
    """Raise `ProtocolViolation` for a PDU type that does not exist or a length that it cannot have."""
    if pdu_type == PDUType.P_DATA_TF:
        is_possible = PDV_OVERHEAD <= length <= max_pdu_bytes
    elif pdu_type in _ASSOCIATE:
        is_possible = length <= MAX_ASSOCIATE_BYTES
    elif pdu_type in _TYPES:
        is_possible = length == _CONTROL_LENGTH
    else:
        raise ProtocolViolation(f"PDU type {pdu_type:#04x} does not exist", AbortReason.UNRECOGNIZED_PDU)
    if not is_possible:
        raise ProtocolViolation(
            f"{PDUType(pdu_type).name} PDU of {length} bytes", AbortReason.INVALID_PDU_PARAMETER_VALUE
        )
