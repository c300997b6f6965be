"""What is no DICOM, or breaks PS3.8 or PS3.7: an A-ABORT with its reason, nothing kept, nothing left."""

import logging
import random
import struct
from collections.abc import Callable

import pytest

from pacsnode.observe import AssociationEnded, AssociationRejected, ConnectionProbed
from tests.interop import wire
from tests.interop.nodes import Running, StartNode, assert_no_association_left
from tests.interop.wire import command, element, p_data, pdv

_CONTEXTS = (
    (1, wire.VERIFICATION, (wire.IMPLICIT,)),
    (3, wire.CT_IMAGE, (wire.EXPLICIT,)),
    (5, wire.STUDY_ROOT_FIND, (wire.IMPLICIT,)),
    (7, "1.2.840.10008.5.1.4.31", (wire.IMPLICIT,)),  # worklist: never accepted
)
_PATIENT = b"MUSTERMANN^ERIKA"
_USER, _PROVIDER = 0, 2  # sources of an A-ABORT (PS3.8 table 9-26)

_STORE = p_data(pdv(3, wire.c_store_rq(b"1.2.3"), is_command=True))
_A_HEADER = struct.pack(">BxI", 4, 1000)


def _fragment(data: bytes, *, is_last: bool = False) -> bytes:
    return p_data(pdv(3, data, is_command=False, is_last=is_last))


@pytest.fixture
def running(start_node: StartNode, caplog: pytest.LogCaptureFixture) -> Running:
    caplog.set_level(logging.INFO)
    return start_node(dicom={"acse_timeout": "2s"})


def _assert_unharmed(running: Running, caplog: pytest.LogCaptureFixture, lines: int = 1) -> None:
    """Nothing kept, no thread left, one line without patient data, and the node goes on serving."""
    assert_no_association_left()
    running.assert_empty()
    records = [record for record in caplog.records if record.levelno >= logging.INFO]
    said = [record.getMessage() for record in records if record.getMessage().startswith("association")]
    assert len(said) == lines, said
    assert not any(record.exc_info for record in records)
    for record in records:
        assert _PATIENT.decode() not in record.getMessage()
        assert "\n" not in record.getMessage()
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        assert peer.echo(1) == 0
        peer.release()


_NO_ASSOCIATION: dict[str, tuple[bytes, tuple[int, int]]] = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n", (_PROVIDER, 1)),
    "TLS": (bytes.fromhex("16030100c8010000c40303") + bytes(190), (_PROVIDER, 1)),
    "P-DATA first": (p_data(pdv(1, wire.c_echo_rq(), is_command=True)), (_PROVIDER, 2)),
    "release first": (wire.RELEASE_RQ, (_PROVIDER, 2)),
    "an A-ASSOCIATE-AC": (struct.pack(">BxI", 2, 68) + bytes(68), (_PROVIDER, 2)),
    "PDU type 0": (bytes(6), (_PROVIDER, 1)),
    "oversized request": (struct.pack(">BxI", 1, 0xFFFFFFFF), (_PROVIDER, 6)),
    "request of 1 MiB": (struct.pack(">BxI", 1, 1 << 20) + bytes(1000), (_PROVIDER, 6)),
    "empty request": (struct.pack(">BxI", 1, 0), (_PROVIDER, 6)),
    "request of zeros": (struct.pack(">BxI", 1, 200) + bytes(200), (_PROVIDER, 6)),
    "item that overruns": (wire.associate_rq()[:-9] + b"\x00\xff" + wire.associate_rq()[-7:], (_PROVIDER, 6)),
    "context ID twice": (
        wire.associate_rq([(1, wire.VERIFICATION, (wire.IMPLICIT,)), (1, wire.CT_IMAGE, (wire.IMPLICIT,))]),
        (_PROVIDER, 6),
    ),
}


@pytest.mark.parametrize("case", _NO_ASSOCIATION)
def test_no_association_comes_of(running: Running, caplog: pytest.LogCaptureFixture, case: str) -> None:
    data, reason = _NO_ASSOCIATION[case]
    with wire.Wire(running.port) as peer:
        peer.send(data)
        assert peer.abort() == reason
    running.events.wait_for(AssociationRejected)
    _assert_unharmed(running, caplog)


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_harm_nobody(running: Running, caplog: pytest.LogCaptureFixture, seed: int) -> None:
    noise = random.Random(seed)
    with wire.Wire(running.port) as peer:
        peer.send(
            bytes([noise.choice((1, 4, 5, 7, noise.randrange(256)))]),
            noise.randbytes(noise.randrange(1, 3000)),
        )
        peer.socket.shutdown(1)
        answer = peer.pdu()
        assert answer is None or answer[0] == 7
    running.events.wait_for(AssociationRejected)
    _assert_unharmed(running, caplog)


@pytest.mark.parametrize("seed", range(8))
def test_damaged_requests_harm_nobody(running: Running, caplog: pytest.LogCaptureFixture, seed: int) -> None:
    noise = random.Random(seed)
    damaged = bytearray(wire.associate_rq(_CONTEXTS))
    for _ in range(3):
        damaged[noise.randrange(74, len(damaged))] = noise.randrange(256)
    with wire.Wire(running.port) as peer:
        peer.send(bytes(damaged))
        answer = peer.pdu()
        assert answer is not None
        assert answer[0] in (2, 3, 7)
    assert_no_association_left()
    assert running.events.of(AssociationRejected) or running.events.wait_for(AssociationEnded)
    _assert_unharmed(running, caplog)


@pytest.mark.parametrize("kept", [3, 6, 40, 74, 100])
def test_half_a_request_is_given_up(running: Running, caplog: pytest.LogCaptureFixture, kept: int) -> None:
    with wire.Wire(running.port) as peer:
        peer.send(wire.associate_rq()[:kept])
        peer.socket.shutdown(1)
        assert peer.pdu() is None
    running.events.wait_for(AssociationRejected)
    _assert_unharmed(running, caplog)


def test_a_connection_without_a_byte_is_no_line(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with wire.Wire(running.port) as peer:
        peer.socket.shutdown(1)
        assert peer.pdu() is None
    running.events.wait_for(ConnectionProbed)
    _assert_unharmed(running, caplog, lines=0)


def test_a_request_that_does_not_come_is_given_up_in_time(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with wire.Wire(running.port) as peer:
        peer.send(wire.associate_rq()[:50])
        assert peer.pdu() is None  # closed without a word (PS3.8 table 9-10, AA-2)
    _assert_unharmed(running, caplog)


_BROKEN: dict[str, tuple[bytes, tuple[int, int]]] = {
    "unknown PDU type": (bytes((0x42, 0, 0, 0, 0, 4, 0, 0, 0, 0)), (_PROVIDER, 1)),
    "second request": (wire.associate_rq(), (_PROVIDER, 2)),
    "P-DATA over the maximum": (struct.pack(">BxI", 4, (256 << 10) + 1), (_PROVIDER, 6)),
    "P-DATA of 4 GiB": (struct.pack(">BxI", 4, 0xFFFFFFFF), (_PROVIDER, 6)),
    "empty P-DATA": (struct.pack(">BxI", 4, 0), (_PROVIDER, 6)),
    "release of 5 bytes": (struct.pack(">BxI", 5, 5) + bytes(5), (_PROVIDER, 6)),
    "PDV that overruns": (p_data(struct.pack(">IBB", 5000, 1, 3) + bytes(100)), (_PROVIDER, 6)),
    "PDV of length 1": (p_data(struct.pack(">IBB", 1, 1, 3) + bytes(10)), (_PROVIDER, 6)),
    "bytes after the PDV": (
        p_data(pdv(1, wire.c_echo_rq()[:-10], is_command=True, is_last=False), b"\0\0"),
        (_PROVIDER, 6),
    ),
    "unknown context": (p_data(pdv(9, wire.c_echo_rq(), is_command=True)), (_PROVIDER, 6)),
    "refused context": (p_data(pdv(7, wire.c_echo_rq(), is_command=True)), (_PROVIDER, 6)),
    "undecodable command set": (p_data(pdv(1, b"\x01" * 64, is_command=True)), (_USER, 0)),
    "command set of group 0008": (p_data(pdv(1, element(0x00080005, b"ISO"), is_command=True)), (_USER, 0)),
    "empty command set": (p_data(pdv(1, b"", is_command=True)), (_USER, 0)),
    "no Command Field": (p_data(pdv(1, element(0x00000110, b"\1\0"), is_command=True)), (_USER, 0)),
    "no Message ID": (p_data(pdv(1, element(0x00000100, b"\x30\0"), is_command=True)), (_USER, 0)),
    "endless command set": (
        b"".join(p_data(pdv(1, bytes(4096), is_command=True, is_last=False)) for _ in range(5)),
        (_USER, 0),
    ),
    "data set without a command": (_fragment(b"abcd"), (_USER, 0)),
    "second command in a data set": (
        _STORE + _fragment(_PATIENT) + p_data(pdv(1, wire.c_echo_rq(2), is_command=True)),
        (_USER, 0),
    ),
    "second store in a data set": (_STORE + _fragment(_PATIENT) + _STORE, (_USER, 0)),
    "data set in another context": (_STORE + p_data(pdv(5, _PATIENT, is_command=False)), (_USER, 0)),
    "release in a data set": (_STORE + _fragment(_PATIENT) + wire.RELEASE_RQ, (_USER, 0)),
    "endless identifier": (
        p_data(pdv(5, command(0x20, has_data_set=True, e0002=b"1.2"), is_command=True))
        + b"".join(p_data(pdv(5, bytes(250_000), is_command=False, is_last=False)) for _ in range(18)),
        (_USER, 0),
    ),
}


@pytest.mark.parametrize("case", _BROKEN)
def test_association_is_aborted_for(running: Running, caplog: pytest.LogCaptureFixture, case: str) -> None:
    data, reason = _BROKEN[case]
    with wire.Wire(running.port) as peer:
        assert peer.associate(_CONTEXTS) == {1: 0, 3: 0, 5: 0, 7: 3}
        peer.send(data)
        assert peer.abort() == reason
    running.events.wait_for(AssociationEnded)
    _assert_unharmed(running, caplog)


_HANGING_UP: dict[str, Callable[[wire.Wire], None]] = {
    "after the header of a PDU": lambda peer: peer.send(_A_HEADER),
    "in a command set": lambda peer: peer.send(_A_HEADER, struct.pack(">IBB", 996, 3, 1), bytes(100)),
    "in a data set": lambda peer: peer.send(_STORE, _fragment(_PATIENT)),
    "after half a data set PDU": lambda peer: peer.send(_STORE, _fragment(_PATIENT * 20)[:100]),
}


@pytest.mark.parametrize("case", _HANGING_UP)
def test_peer_that_hangs_up(running: Running, caplog: pytest.LogCaptureFixture, case: str) -> None:
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        _HANGING_UP[case](peer)
    (ended,) = running.events.wait_for(AssociationEnded)
    assert "connection" in ended.ending
    _assert_unharmed(running, caplog)


def test_abort_in_a_data_set_leaves_nothing(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        peer.send(_STORE, _fragment(_PATIENT), wire.ABORT)
        assert peer.pdu() is None
    (ended,) = running.events.wait_for(AssociationEnded)
    assert ended.ending == "aborted"
    _assert_unharmed(running, caplog)


def test_peers_text_cannot_forge_log_lines(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with wire.Wire(running.port) as peer:
        peer.send(
            wire.associate_rq([(1, "1.2.3\nERROR forged", (wire.IMPLICIT,))], calling=b"A\r\nERROR forged")
        )
        peer.pdu()
    assert_no_association_left()
    assert caplog.records
    assert not any("\n" in record.getMessage() or "\r" in record.getMessage() for record in caplog.records)
    _assert_unharmed(running, caplog)


@pytest.mark.parametrize("field", [0x0001, 0x0010, 0x0020, 0x0021, 0x0120, 0x0130, 0x0140, 0x0150, 0x0555])
def test_operation_that_the_context_does_not_have_is_refused_and_the_association_lives(
    running: Running, caplog: pytest.LogCaptureFixture, field: int
) -> None:
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        request = command(field, message_id=5, has_data_set=True, e0002=wire.VERIFICATION.encode())
        data_set = p_data(pdv(1, _PATIENT, is_command=False))
        peer.send(p_data(pdv(1, request, is_command=True)), data_set)
        response = peer.message()
        assert (response.status, response.us(0x0100), response.us(0x0120)) == (0x0211, field | 0x8000, 5)
        assert peer.echo(1) == 0
        peer.release()
    _assert_unharmed(running, caplog)


def test_late_cancel_and_stray_response_are_ignored(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    stray = command(0x8001, e0120=9, e0900=0)
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        peer.send(
            p_data(pdv(5, wire.c_cancel_rq(3), is_command=True)), p_data(pdv(3, stray, is_command=True))
        )
        assert peer.echo(1) == 0
        peer.release()
    _assert_unharmed(running, caplog)


def test_fragments_of_one_byte_and_several_to_a_pdu(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    request = wire.c_echo_rq(4)
    pieces = [
        pdv(1, request[at : at + 1], is_command=True, is_last=at + 1 == len(request))
        for at in range(len(request))
    ]
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        peer.send(p_data(*pieces))
        assert peer.message().status == 0
        for piece in pieces:
            peer.send(p_data(piece))
        assert peer.message().status == 0
        peer.release()
    _assert_unharmed(running, caplog)
