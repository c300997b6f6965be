"""How an association ends other than by release, as exceptions that unwind whoever is using it."""

from enum import IntEnum

from pacsnode.errors import NetworkError


class AbortReason(IntEnum):
    """Reason of an A-ABORT by the service provider, source 2 (PS3.8 table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER_VALUE = 6


class AssociationOver(NetworkError):
    """The association cannot go on. The message is what the log line says."""


class PeerAborted(AssociationOver):
    """The peer sent an A-ABORT."""


class ConnectionLost(AssociationOver):
    """The transport connection is closed or broken."""


class DeadlinePassed(AssociationOver):
    """The peer was silent, or too slow, for longer than it may."""


class NodeStopping(AssociationOver):
    """The node stops and the association was idle."""


class ProtocolViolation(AssociationOver):
    """The peer broke the upper layer protocol (PS3.8): A-ABORT with source 2 and this reason."""

    def __init__(self, message: str, reason: AbortReason) -> None:
        super().__init__(message)
        self.reason = reason


class MessageViolation(AssociationOver):
    """The peer broke the DIMSE protocol (PS3.7): A-ABORT with source 0."""
