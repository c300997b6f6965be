"""Bytes to PDUs and PDVs: whatever the pieces in which they arrive, in bounded memory, by the deadlines."""

import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacsnode.dimse.association import reader as module
from pacsnode.dimse.association.endings import (
    AbortReason,
    AssociationOver,
    ConnectionLost,
    DeadlinePassed,
    ProtocolViolation,
)
from pacsnode.dimse.association.pdu import A_RELEASE_RQ, HEADER, PDV_HEADER, PDUType, a_abort
from pacsnode.dimse.association.reader import PDV, Reader
from pacsnode.dimse.association.transport import Transport
from tests.dimse_peers import Script, loopback_pair, p_data, soon

MAX_PDU = 1 << 14
PDVS = st.lists(
    st.tuples(st.sampled_from([1, 3, 255]), st.integers(0, 3), st.binary(max_size=60)), min_size=1, max_size=4
)
Unit = tuple[int, bytes | list[tuple[int, int, bytes]]]


def data_pdu(pdvs: list[tuple[int, int, bytes]]) -> bytes:
    items = b"".join(
        PDV_HEADER.pack(len(data) + 2, context, control) + data for context, control, data in pdvs
    )
    return HEADER.pack(PDUType.P_DATA_TF, len(items)) + items


UNITS = st.lists(
    st.one_of(
        PDVS.map(lambda pdvs: ((PDUType.P_DATA_TF, pdvs), data_pdu(pdvs))),
        st.just(((PDUType.A_RELEASE_RQ, bytes(4)), A_RELEASE_RQ)),
        st.just(((PDUType.A_ABORT, b"\0\0\2\1"), a_abort(2, 1))),
        st.binary(max_size=300).map(
            lambda body: ((PDUType.A_ASSOCIATE_RQ, body), HEADER.pack(1, len(body)) + body)
        ),
    ),
    min_size=1,
    max_size=6,
)


def read_unit(reader: Reader) -> Unit:
    pdu_type, length = reader.next_pdu(20.0)
    if pdu_type != PDUType.P_DATA_TF:
        return pdu_type, reader.body(length)
    pdvs = []
    while not pdvs or reader.is_within_pdu:
        pdv = reader.next_pdv()
        data = b""
        while piece := reader.piece():
            data += bytes(piece)
        assert len(data) == pdv.length
        pdvs.append((pdv.context_id, pdv.control, data))
    return pdu_type, pdvs


@given(units=UNITS, cuts=st.lists(st.integers(0, 4000), max_size=40))
def test_any_fragmentation_gives_the_same(units: list[tuple[Unit, bytes]], cuts: list[int]) -> None:
    stream = b"".join(data for _, data in units)
    for transport in (
        Script.cut_at(stream, cuts),
        Script([bytes([byte]) for byte in stream]),
        Script([stream]),
    ):
        reader = Reader(transport, max_pdu_bytes=MAX_PDU)  # type: ignore[arg-type]
        assert [read_unit(reader) for _ in units] == [unit for unit, _ in units]
        with pytest.raises(ConnectionLost):
            reader.next_pdu(20.0)


@given(units=UNITS, cuts=st.lists(st.integers(0, 4000), max_size=40), rounds=st.integers(0, 3))
def test_looking_ahead_changes_nothing(units: list[tuple[Unit, bytes]], cuts: list[int], rounds: int) -> None:
    """`has_whole_pdu` between two PDUs takes what has arrived, and says true only if a PDU is whole."""
    stream = b"".join(data for _, data in units)
    transport = Script.cut_at(stream, cuts)
    reader = Reader(transport, max_pdu_bytes=MAX_PDU)  # type: ignore[arg-type]
    for unit, _ in units:
        for _ in range(rounds):
            if reader.has_whole_pdu():
                transport._pieces, held_back = [], transport._pieces
                assert read_unit(reader) == unit
                transport._pieces = held_back
                break
        else:
            assert read_unit(reader) == unit


@pytest.mark.parametrize("piece_bytes", [1, 6, 7, 1000, 1 << 18])
def test_a_pdu_that_is_longer_than_the_buffer_is_read_in_pieces(piece_bytes: int) -> None:
    size = 700_000 if piece_bytes > 10 else 5_000
    data = bytes(range(256)) * (size // 256)
    stream = data_pdu([(1, 0, data), (1, 2, b"end")]) + A_RELEASE_RQ
    reader = Reader(
        Script([stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes)]),  # type: ignore[arg-type]
        max_pdu_bytes=1 << 20,
    )
    assert read_unit(reader) == (4, [(1, 0, data), (1, 2, b"end")])
    assert read_unit(reader) == (5, bytes(4))
    assert len(reader._view) < 300_000


def test_pieces_of_a_fragment_are_given_out_as_they_arrive() -> None:
    stream = p_data(1, (0, b"0123456789"))
    reader = Reader(Script([stream[:14], stream[14:17], stream[17:]]), max_pdu_bytes=MAX_PDU)  # type: ignore[arg-type]
    reader.next_pdu(20.0)
    reader.next_pdv()
    assert [bytes(reader.piece()) for _ in range(4)] == [b"01", b"234", b"56789", b""]


@pytest.mark.parametrize("size", [0, 300, 1 << 18])
def test_an_associate_pdu_of_any_length_is_read_whole(size: int) -> None:
    """Behind another PDU in the buffer, too: it is moved to the front."""
    body = bytes(size)
    stream = data_pdu([(1, 2, bytes(3000))]) + HEADER.pack(PDUType.A_ASSOCIATE_RQ, size) + body
    reader = Reader(Script([stream]), max_pdu_bytes=MAX_PDU)  # type: ignore[arg-type]
    read_unit(reader)
    assert read_unit(reader) == (1, body)


def test_control_bits() -> None:
    assert [(PDV(1, control, 0).is_command, PDV(1, control, 0).is_last) for control in range(4)] == [
        (False, False),
        (True, False),
        (False, True),
        (True, True),
    ]


# Lies


def test_nothing_is_read_behind_a_header_that_lies() -> None:
    transport = Script([HEADER.pack(PDUType.P_DATA_TF, MAX_PDU + 1), b"x" * 1000])
    reader = Reader(transport, max_pdu_bytes=MAX_PDU)  # type: ignore[arg-type]
    with pytest.raises(ProtocolViolation):
        reader.next_pdu(20.0)
    assert transport.bytes_received == HEADER.size


@pytest.mark.parametrize("look", ["next_pdu", "first_pdu", "has_whole_pdu"])
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"GET / ", AbortReason.UNRECOGNIZED_PDU),
        (b"\x16\x03\x01\x02\x00\x01", AbortReason.UNRECOGNIZED_PDU),
        (HEADER.pack(PDUType.A_RELEASE_RQ, 5), AbortReason.INVALID_PDU_PARAMETER_VALUE),
        (HEADER.pack(PDUType.P_DATA_TF, 5), AbortReason.INVALID_PDU_PARAMETER_VALUE),
    ],
)
def test_six_bytes_decide(header: bytes, reason: AbortReason, look: str) -> None:
    reader = Reader(Script([header]), max_pdu_bytes=MAX_PDU)  # type: ignore[arg-type]
    with pytest.raises(ProtocolViolation) as raised:
        {"next_pdu": lambda: reader.next_pdu(1.0), "first_pdu": lambda: reader.first_pdu(soon()),
         "has_whole_pdu": reader.has_whole_pdu}[look]()  # fmt: skip
    assert raised.value.reason is reason


@pytest.mark.parametrize(
    "items",
    [
        PDV_HEADER.pack(3, 1, 2),  # one byte said, none there
        PDV_HEADER.pack(1, 1, 2),
        PDV_HEADER.pack(0, 1, 2),
        PDV_HEADER.pack(0xFFFFFFFF, 1, 2),
        PDV_HEADER.pack(2, 1, 2) + b"\0" * 5,
        PDV_HEADER.pack(3, 1, 2) + b"x" + PDV_HEADER.pack(3, 1, 2),
    ],
)
def test_pdvs_that_do_not_fill_their_pdu(items: bytes) -> None:
    reader = Reader(
        Script([HEADER.pack(PDUType.P_DATA_TF, len(items)) + items + bytes(100)]), max_pdu_bytes=MAX_PDU
    )  # type: ignore[arg-type]
    with pytest.raises(ProtocolViolation) as raised:
        read_unit(reader)
    assert raised.value.reason is AbortReason.INVALID_PDU_PARAMETER_VALUE


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=10))
@example(data=struct.pack(">BxIIBB", 4, 8, 4, 1, 3) + b"ab", cuts=[])
def test_arbitrary_bytes_raise_only_how_associations_end(data: bytes, cuts: list[int]) -> None:
    reader = Reader(Script.cut_at(data, cuts), max_pdu_bytes=MAX_PDU)  # type: ignore[arg-type]
    with pytest.raises((ProtocolViolation, ConnectionLost)):
        read_units(reader, len(data) // HEADER.size + 1)


def read_units(reader: Reader, most: int) -> None:
    for _ in range(most):
        read_unit(reader)


# Looking ahead within a PDU


@given(cuts=st.lists(st.integers(0, 60), max_size=20))
def test_the_rest_of_a_pdu_is_no_header(cuts: list[int]) -> None:
    """A PDU may hold the end of one message and the whole of the next (PS3.8 9.3.5.1: one or more PDVs)."""
    stream = data_pdu([(1, 2, b"end of a data set"), (1, 3, b"a cancel"), (1, 3, b"another")])
    transport = Script.cut_at(stream, cuts)
    reader = Reader(transport, max_pdu_bytes=MAX_PDU)  # type: ignore[arg-type]
    reader.next_pdu(20.0)
    reader.next_pdv()
    while reader.piece():
        pass
    assert reader.is_within_pdu
    while not reader.has_whole_pdu():
        assert transport._pieces, "all has arrived and nothing is whole"
    transport._pieces = []
    for expected in (b"a cancel", b"another"):
        assert reader.has_whole_pdu()
        reader.next_pdv()
        assert bytes(reader.piece()) == expected
    assert not reader.is_within_pdu
    assert not reader.has_whole_pdu()


# Deadlines


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with loopback_pair() as pair:
        yield pair


@pytest.fixture
def reader(pair: tuple[socket.socket, socket.socket]) -> Reader:
    return Reader(Transport(pair[0]), max_pdu_bytes=MAX_PDU)


def test_a_silent_peer(reader: Reader) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlinePassed):
        reader.next_pdu(0.1)
    assert 0.1 <= time.monotonic() - started < 5


@pytest.mark.parametrize("arrived", [3, 6, 9, 13, 20])
def test_a_pdu_that_has_begun_must_end(
    reader: Reader, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, arrived: int
) -> None:
    monkeypatch.setattr(module, "_PDU_SECONDS", 0.1)
    pair[1].sendall(p_data(1, (3, b"0123456789"))[:arrived])
    started = time.monotonic()
    with pytest.raises(DeadlinePassed):
        read_unit_slowly(reader)
    assert 0.1 <= time.monotonic() - started < 5


def read_unit_slowly(reader: Reader) -> None:
    reader.next_pdu(20.0)
    reader.next_pdv()
    while reader.piece():
        pass


def test_a_long_pdu_has_longer(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PDU_SECONDS", 0.0)
    monkeypatch.setattr(module, "_BYTES_PER_SECOND", 100_000)
    reader = Reader(Transport(pair[0]), max_pdu_bytes=1 << 20)
    pair[1].sendall(data_pdu([(1, 2, bytes(20_000))])[:1000])
    started = time.monotonic()
    with pytest.raises(DeadlinePassed):
        read_unit_slowly(reader)
    assert 0.2 <= time.monotonic() - started < 5


def test_a_peer_that_drips_does_not_prolong_its_pdu(
    reader: Reader, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PDU_SECONDS", 0.2)
    stop = threading.Event()

    def drip() -> None:
        for byte in data_pdu([(1, 2, bytes(2000))]):
            if stop.wait(0.01):
                return
            pair[1].sendall(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    started = time.monotonic()
    try:
        with pytest.raises(DeadlinePassed):
            read_unit_slowly(reader)
    finally:
        stop.set()
        thread.join()
    assert time.monotonic() - started < 5


def test_the_first_pdu_must_be_whole_by_its_deadline(
    reader: Reader, pair: tuple[socket.socket, socket.socket]
) -> None:
    """10 s for the A-ASSOCIATE-RQ, however its bytes are spread."""
    pair[1].sendall(HEADER.pack(PDUType.A_ASSOCIATE_RQ, 100) + bytes(50))
    started = time.monotonic()
    pdu_type, length = reader.first_pdu(started + 0.1)
    assert (pdu_type, length) == (1, 100)
    with pytest.raises(DeadlinePassed):
        reader.body(length)
    assert 0.1 <= time.monotonic() - started < 5


def test_a_connection_that_closes_within_a_pdu_is_lost(
    reader: Reader, pair: tuple[socket.socket, socket.socket]
) -> None:
    pair[1].sendall(p_data(1, (3, b"0123456789"))[:15])
    pair[1].close()
    with pytest.raises(AssociationOver, match="closed by the peer"):
        read_unit_slowly(reader)
