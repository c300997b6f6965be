import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dimse.association.framing import Framing
from pacsnode.dimse.association.pdu import HEADER, IS_COMMAND, IS_LAST, PDV_HEADER

Fragment = tuple[int, int, bytes]  # context ID, control, bytes


def pdus(stream: bytes) -> list[list[Fragment]]:
    """Return the PDVs of each P-DATA-TF PDU, read by PS3.8 9.3.5 and nothing of the product."""
    found, at = [], 0
    while at < len(stream):
        kind, length = HEADER.unpack_from(stream, at)
        assert kind == 4
        at, end, pdvs = at + 6, at + 6 + length, list[Fragment]()
        while at < end:
            size, context_id, control = PDV_HEADER.unpack_from(stream, at)
            pdvs.append((context_id, control, stream[at + 6 : at + 4 + size]))
            at += 4 + size
        assert at == end, "the PDVs fill their PDU"
        found.append(pdvs)
    return found


@given(
    command=st.binary(min_size=1, max_size=300).map(lambda value: value + bytes(len(value) % 2)),
    data_set=st.none() | st.binary(max_size=3000),
    peer_max_pdu_bytes=st.just(0) | st.integers(1, 200) | st.integers(200, 1 << 17),
)
def test_every_message_arrives_and_no_pdu_is_longer_than_the_peer_takes(
    command: bytes, data_set: bytes | None, peer_max_pdu_bytes: int
) -> None:
    framing = Framing(peer_max_pdu_bytes)
    found = pdus(b"".join(framing.message(5, command, data_set)))
    # Below 8 there is no room for a fragment of even length: two bytes are sent all the same.
    most = max(peer_max_pdu_bytes, 8) if peer_max_pdu_bytes else (1 << 20) + 6
    assert all(sum(6 + len(data) for *_, data in pdvs) <= most for pdvs in found)
    flat = [pdv for pdvs in found for pdv in pdvs]
    assert {context_id for context_id, *_ in flat} == {5}
    for kind, expected in ((IS_COMMAND, command), (0, data_set)):
        of_kind = [(control, data) for _, control, data in flat if control & IS_COMMAND == kind]
        if expected is None:
            assert not of_kind
            continue
        assert b"".join(data for _, data in of_kind) == expected
        assert [control & IS_LAST for control, _ in of_kind] == [0] * (len(of_kind) - 1) + [IS_LAST]
        assert {len(data) for _, data in of_kind[:-1]} <= {framing.fragment_bytes}, "as long as can be"
    assert [control & IS_COMMAND for _, control, _ in flat] == sorted(
        (control & IS_COMMAND for _, control, _ in flat), reverse=True
    ), "the command set comes first"


@pytest.mark.parametrize(("data_set_length", "expected"), [(60, 1), (62, 2)])
def test_what_fits_is_one_pdu(data_set_length: int, expected: int) -> None:
    framing = Framing(112)  # 6 + 40 of the command set, 6 + 60 of the data set
    assert framing.fits(bytes(40), data_set_length) is (expected == 1)
    assert len(pdus(b"".join(framing.message(1, bytes(40), bytes(data_set_length))))) == expected


def test_a_maximum_that_leaves_nothing_still_gets_two_bytes() -> None:
    assert Framing(3).fragment_bytes == 2
    assert Framing(0).fragment_bytes == 1 << 20
    assert Framing(16_383).fragment_bytes == 16_376


@given(
    st.lists(st.binary(max_size=40).map(lambda value: value + bytes(len(value) % 2)), min_size=1, max_size=5),
    st.integers(7, 60),
)
def test_parts_of_a_data_set_join_without_a_seam(chunks: list[bytes], peer_max_pdu_bytes: int) -> None:
    framing = Framing(peer_max_pdu_bytes)
    parts = []
    for number, chunk in enumerate(chunks, 1):
        parts += framing.fragments(1, memoryview(chunk), kind=0, is_last=number == len(chunks))
    flat = [pdv for pdvs in pdus(b"".join(parts)) for pdv in pdvs]
    assert b"".join(data for *_, data in flat) == b"".join(chunks)
    assert [control for _, control, _ in flat] == [0] * (len(flat) - 1) + [IS_LAST]
