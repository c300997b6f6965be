"""The acceptor's answers: an accept with which a conversation begins, or a rejection (PS3.8 9.2.3)."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from pacsnode.dimse.association import acceptor as module
from pacsnode.dimse.association.acceptor import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    TEMPORARY_CONGESTION,
    Answer,
    accept,
    reject,
)
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Decision,
    Proposal,
    Rejection,
    decode_accept,
    decode_rejection,
)
from pacsnode.dimse.association.conversation import Conversation
from pacsnode.dimse.association.endings import ConnectionLost
from pacsnode.dimse.association.pdu import PDUType
from pacsnode.dimse.association.transport import Transport
from tests.dimse_peers import SCU, VERIFICATION, context, echo_request, loopback_pair, read_pdu, terms_of

REQUEST = AssociateRequest(
    "PACSNODE",
    "CT1",
    APPLICATION_CONTEXT_NAME,
    (Proposal(1, VERIFICATION, ("1.2.840.10008.1.2.1",)),),
    16384,
    {},
)
ANSWER = Answer((Decision(1, VERIFICATION, 0, "1.2.840.10008.1.2.1"),), {1: context()}, {})


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with loopback_pair() as pair:
        yield pair


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REJECTION_SECONDS", 0.2)


def accepted(connection: socket.socket) -> Conversation:
    return accept(
        Transport(connection),
        REQUEST,
        ANSWER,
        association_id="a1",
        peer_address="127.0.0.1:1",
        terms=terms_of(max_pdu_bytes=65536),
    )


def test_an_accept_is_sent_and_the_conversation_begins(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].sendall(echo_request(5))
    conversation = accepted(pair[0])
    pdu_type, body = read_pdu(pair[1])
    assert pdu_type == PDUType.A_ASSOCIATE_AC
    assert decode_accept(body).max_pdu_bytes == 65536
    assert [d.result for d in decode_accept(body).decisions] == [0]
    parties = conversation.parties
    assert (parties.calling_ae_title, parties.called_ae_title) == ("CT1", "PACSNODE")
    assert (parties.association_id, parties.peer_address) == ("a1", "127.0.0.1:1")
    assert conversation.contexts[1].requestor == SCU
    assert conversation.framing.fragment_bytes == 16384 - 6
    message = conversation.receive()
    assert message is not None
    assert message.command.message_id == 5, "what came with the request is not lost"


@pytest.mark.parametrize(
    ("rejection", "expected"),
    [
        (APPLICATION_CONTEXT_NOT_SUPPORTED, (1, 1, 2)),
        (CALLING_AE_TITLE_NOT_RECOGNIZED, (1, 1, 3)),
        (CALLED_AE_TITLE_NOT_RECOGNIZED, (1, 1, 7)),
        (TEMPORARY_CONGESTION, (2, 3, 1)),
        (LOCAL_LIMIT_EXCEEDED, (2, 3, 2)),
    ],
)
def test_a_rejection_is_sent_and_the_connection_closed(
    pair: tuple[socket.socket, socket.socket], rejection: Rejection, expected: tuple[int, int, int]
) -> None:
    rejecting = threading.Thread(target=reject, args=(Transport(pair[0]), rejection))
    rejecting.start()
    pdu_type, body = read_pdu(pair[1])
    assert pdu_type == PDUType.A_ASSOCIATE_RJ
    assert decode_rejection(body) == Rejection(*expected)
    assert pair[1].recv(10) == b""
    pair[1].close()
    rejecting.join(20)
    assert not rejecting.is_alive()


def test_a_peer_that_is_gone_before_its_answer(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair[1].close()
    with pytest.raises(ConnectionLost):
        accepted(pair[0])
