"""How an association ends, and which of the endings a requestor may try again after."""

import pytest

from pacsnode.dimse.association.endings import (
    AbortReason,
    AssociationOver,
    ConnectionLost,
    DeadlinePassed,
    MessageViolation,
    NodeStopping,
    PeerAborted,
    ProtocolViolation,
)
from pacsnode.errors import NetworkError, TemporaryError


@pytest.mark.parametrize(
    "kind", [PeerAborted, ConnectionLost, DeadlinePassed, NodeStopping, ProtocolViolation, MessageViolation]
)
def test_every_ending_is_one_and_temporary(kind: type[AssociationOver]) -> None:
    assert issubclass(kind, AssociationOver)
    assert issubclass(kind, NetworkError)
    assert issubclass(kind, TemporaryError)


def test_a_violation_has_its_reason_and_its_sentence() -> None:
    violation = ProtocolViolation("what was wrong", AbortReason.UNEXPECTED_PDU)
    assert str(violation) == "what was wrong"
    assert violation.reason == 2


def test_reasons_are_those_of_the_standard() -> None:
    """PS3.8 table 9-26; 3 is reserved."""
    assert [reason.value for reason in AbortReason] == [0, 1, 2, 4, 5, 6]
