"""The acceptor's side: a request in, an accept, a rejection or an abort out (PS3.8 9.2.3)."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from pacsnode.dimse.association import acceptor as module
from pacsnode.dimse.association.acceptor import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    Answer,
    Rejected,
    accept,
)
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Decision,
    Proposal,
    Rejection,
    decode_accept,
    decode_rejection,
    encode_request,
)
from pacsnode.dimse.association.conversation import Conversation
from pacsnode.dimse.association.endings import (
    AbortReason,
    AssociationOver,
    ConnectionLost,
    DeadlinePassed,
    PeerAborted,
    ProtocolViolation,
)
from pacsnode.dimse.association.pdu import A_RELEASE_RP, A_RELEASE_RQ, HEADER, PDUType, a_abort
from pacsnode.dimse.association.transport import Transport
from tests.dimse_peers import (
    SCU,
    TIMEOUTS,
    VERIFICATION,
    context,
    echo_request,
    loopback_pair,
    read_pdu,
    soon,
)

REQUEST = AssociateRequest(
    "PACSNODE",
    "CT1",
    APPLICATION_CONTEXT_NAME,
    (Proposal(1, VERIFICATION, ("1.2.840.10008.1.2.1",)),),
    16384,
    {},
)
PDU = encode_request(REQUEST, our_max_pdu_bytes=REQUEST.max_pdu_bytes)
ANSWER = Answer((Decision(1, VERIFICATION, 0, "1.2.840.10008.1.2.1"),), {1: context()}, {})


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with loopback_pair() as pair:
        yield pair


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REJECTION_SECONDS", 0.05)


def accepted(
    connection: socket.socket, *, deadline: float | None = None, rejected: Rejected | None = None
) -> Conversation:
    def decide(request: AssociateRequest) -> Answer:
        if rejected is not None:
            raise rejected
        assert request == REQUEST
        return ANSWER

    return accept(
        Transport(connection),
        decide,
        association_id="a1",
        peer_address="127.0.0.1:1",
        max_pdu_bytes=65536,
        timeouts=TIMEOUTS,
        deadline=soon() if deadline is None else deadline,
    )


def test_a_request_is_accepted_and_the_conversation_begins(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].sendall(PDU + echo_request(5))
    conversation = accepted(pair[0])
    pdu_type, body = read_pdu(pair[1])
    assert pdu_type == PDUType.A_ASSOCIATE_AC
    assert decode_accept(body).max_pdu_bytes == 65536
    assert [d.result for d in decode_accept(body).decisions] == [0]
    assert (conversation.parties.calling_ae_title, conversation.parties.called_ae_title) == (
        "CT1",
        "PACSNODE",
    )
    assert (conversation.parties.association_id, conversation.parties.peer_address) == ("a1", "127.0.0.1:1")
    assert conversation.contexts[1].requestor == SCU
    assert conversation.fragment_bytes == 16384 - 6
    message = conversation.receive()
    assert message is not None
    assert message.command.message_id == 5, "what came with the request is not lost"


@pytest.mark.parametrize("piece_bytes", [1, 5, 100])
def test_a_request_in_pieces(pair: tuple[socket.socket, socket.socket], piece_bytes: int) -> None:
    import threading

    def send() -> None:
        for at in range(0, len(PDU), piece_bytes):
            pair[1].sendall(PDU[at : at + piece_bytes])

    thread = threading.Thread(target=send)
    thread.start()
    assert accepted(pair[0])
    thread.join()


@pytest.mark.parametrize(
    ("rejection", "expected"),
    [
        (APPLICATION_CONTEXT_NOT_SUPPORTED, (1, 1, 2)),
        (CALLING_AE_TITLE_NOT_RECOGNIZED, (1, 1, 3)),
        (CALLED_AE_TITLE_NOT_RECOGNIZED, (1, 1, 7)),
        (LOCAL_LIMIT_EXCEEDED, (2, 3, 2)),
    ],
)
def test_a_rejection_is_sent_and_passed_on(
    pair: tuple[socket.socket, socket.socket], rejection: Rejection, expected: tuple[int, int, int]
) -> None:
    pair[1].sendall(PDU)
    with pytest.raises(Rejected, match="why") as raised:
        accepted(pair[0], rejected=Rejected(rejection, "why", REQUEST))
    assert raised.value.request.calling_ae_title == "CT1"
    pdu_type, body = read_pdu(pair[1])
    assert pdu_type == PDUType.A_ASSOCIATE_RJ
    assert decode_rejection(body) == Rejection(*expected)
    assert pair[1].recv(10) == b""


def test_another_application_context_is_rejected_before_anything_is_decided(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    name = APPLICATION_CONTEXT_NAME.encode()
    pair[1].sendall(PDU.replace(name, name[:-1] + b"2"))
    with pytest.raises(Rejected):
        accepted(pair[0], rejected=Rejected(LOCAL_LIMIT_EXCEEDED, "decided", REQUEST))
    assert decode_rejection(read_pdu(pair[1])[1]) == Rejection(1, 1, 2)


@pytest.mark.parametrize(
    ("sent", "kind", "reason"),
    [
        (a_abort(0, 0), PeerAborted, None),
        (A_RELEASE_RQ, ProtocolViolation, AbortReason.UNEXPECTED_PDU),
        (A_RELEASE_RP, ProtocolViolation, AbortReason.UNEXPECTED_PDU),
        (echo_request(), ProtocolViolation, AbortReason.UNEXPECTED_PDU),
        (HEADER.pack(2, len(PDU) - 6) + PDU[6:], ProtocolViolation, AbortReason.UNEXPECTED_PDU),
        (b"GET / HTTP/1.1\r\n\r\n", ProtocolViolation, AbortReason.UNRECOGNIZED_PDU),
        (HEADER.pack(1, (256 << 10) + 1), ProtocolViolation, AbortReason.INVALID_PDU_PARAMETER_VALUE),
        (HEADER.pack(1, 10) + bytes(10), ProtocolViolation, AbortReason.INVALID_PDU_PARAMETER_VALUE),
    ],
)
def test_what_is_no_request(
    pair: tuple[socket.socket, socket.socket],
    sent: bytes,
    kind: type[AssociationOver],
    reason: AbortReason | None,
) -> None:
    pair[1].sendall(sent)
    with pytest.raises(kind) as raised:
        accepted(pair[0])
    if isinstance(raised.value, ProtocolViolation):
        assert raised.value.reason is reason


@pytest.mark.parametrize("arrived", [0, 3, 6, 50, len(PDU) - 1])
def test_a_request_that_does_not_come_whole(pair: tuple[socket.socket, socket.socket], arrived: int) -> None:
    pair[1].sendall(PDU[:arrived])
    started = time.monotonic()
    with pytest.raises(DeadlinePassed):
        accepted(pair[0], deadline=started + 0.1)
    assert 0.1 <= time.monotonic() - started < 5
    pair[1].close()
    with pytest.raises(ConnectionLost):
        accepted(pair[0])


def test_a_peer_that_is_gone_before_its_rejection(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].sendall(PDU)
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    class Gone(Rejected):
        pass

    rejected = Gone(LOCAL_LIMIT_EXCEEDED, "full", REQUEST)
    pair[1].close()
    with pytest.raises((AssociationOver, Gone)):
        accepted(pair[0], rejected=rejected)
