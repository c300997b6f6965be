"""PDU lengths: decided on six bytes alone (PS3.8 9.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dimse.association.endings import AbortReason, ProtocolViolation
from pacsnode.dimse.association.pdu import (
    A_RELEASE_RP,
    A_RELEASE_RQ,
    MAX_ASSOCIATE_BYTES,
    PDUType,
    a_abort,
    check_length,
)

MAX_PDU = 16384

# Type, the shortest and the longest length that it may have.
TABLE = [
    (PDUType.A_ASSOCIATE_RQ, 0, MAX_ASSOCIATE_BYTES),
    (PDUType.A_ASSOCIATE_AC, 0, MAX_ASSOCIATE_BYTES),
    (PDUType.A_ASSOCIATE_RJ, 4, 4),
    (PDUType.P_DATA_TF, 6, MAX_PDU),
    (PDUType.A_RELEASE_RQ, 4, 4),
    (PDUType.A_RELEASE_RP, 4, 4),
    (PDUType.A_ABORT, 4, 4),
]


def test_the_table_has_each_type() -> None:
    assert [row[0] for row in TABLE] == list(PDUType)


@pytest.mark.parametrize(("pdu_type", "shortest", "longest"), TABLE)
def test_lengths_row_by_row(pdu_type: PDUType, shortest: int, longest: int) -> None:
    for length in (shortest, longest):
        check_length(pdu_type, length, max_pdu_bytes=MAX_PDU)
    for length in (shortest - 1, longest + 1, 0xFFFFFFFF):
        if length < 0:
            continue
        with pytest.raises(ProtocolViolation, match=f"{pdu_type.name} PDU of {length} bytes") as raised:
            check_length(pdu_type, length, max_pdu_bytes=MAX_PDU)
        assert raised.value.reason is AbortReason.INVALID_PDU_PARAMETER_VALUE


@pytest.mark.parametrize("pdu_type", [0x00, 0x08, 0x16, 0x47, 0x53, 0xFF])
def test_types_that_do_not_exist(pdu_type: int) -> None:
    """0x16 begins TLS, 0x47 is the G of GET, 0x53 the S of SSH."""
    with pytest.raises(ProtocolViolation) as raised:
        check_length(pdu_type, 4, max_pdu_bytes=MAX_PDU)
    assert raised.value.reason is AbortReason.UNRECOGNIZED_PDU


@given(st.integers(0, 255), st.integers(0, 0xFFFFFFFF), st.integers(0, 1 << 32))
def test_no_header_raises_anything_else(pdu_type: int, length: int, max_pdu_bytes: int) -> None:
    try:
        check_length(pdu_type, length, max_pdu_bytes=max_pdu_bytes)
    except ProtocolViolation:
        return
    assert length <= max(MAX_ASSOCIATE_BYTES, max_pdu_bytes)


def test_control_pdus_are_those_of_the_standard() -> None:
    assert bytes.fromhex("05 00 00000004 00000000") == A_RELEASE_RQ
    assert bytes.fromhex("06 00 00000004 00000000") == A_RELEASE_RP
    assert a_abort(2, AbortReason.UNEXPECTED_PDU) == bytes.fromhex("07 00 00000004 0000 02 02")
