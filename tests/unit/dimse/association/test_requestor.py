"""The requestor's side: what a peer may answer, and in which words its refusal reaches a person."""

import os
import socket
import struct
from collections.abc import Callable

import pytest

from pacsnode.dimse.association import requestor as module
from pacsnode.dimse.association.acse import (
    DEFAULT_ROLES,
    AssociateRequest,
    Rejection,
    Roles,
    encode_rejection,
)
from pacsnode.dimse.association.conversation import Conversation
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.dimse.association.pdu import A_RELEASE_RP, HEADER, PDUType, a_abort
from pacsnode.dimse.association.requestor import Caller, Remote, associate
from pacsnode.errors import NetworkError
from tests.dimse_peers import (
    VERIFICATION,
    CalledPeer,
    accepting,
    echo_request,
    read_pdu,
    read_to_end,
    released,
)
from tests.factories import CT, MR

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
CONTEXTS = [(VERIFICATION, (EXPLICIT, IMPLICIT)), (CT, (IMPLICIT,)), (MR, (IMPLICIT, EXPLICIT))]
CALLER = Caller("NODE", 65536, acse_timeout_seconds=10.0, dimse_timeout_seconds=10.0)
QUICK = Caller("NODE", acse_timeout_seconds=0.2, dimse_timeout_seconds=0.2)


def called(port: int, caller: Caller = CALLER, roles: dict[str, Roles] | None = None) -> Conversation:
    return associate(caller, Remote("STORE", "127.0.0.1", port), CONTEXTS, roles=roles, association_id="a1")


def test_an_association_is_made_used_and_released() -> None:
    seen: list[AssociateRequest] = []

    def answer(connection: socket.socket) -> None:
        seen.append(accepting(connection, max_pdu_bytes=5000))
        released(connection)

    with CalledPeer(answer) as peer:
        conversation = called(peer.port)
        conversation.release()
    (request,) = seen
    assert (request.calling_ae_title, request.called_ae_title) == ("NODE", "STORE")
    assert request.max_pdu_bytes == 65536
    assert [(p.context_id, p.abstract_syntax, p.transfer_syntaxes) for p in request.proposals] == [
        (2 * at + 1, *proposed) for at, proposed in enumerate(CONTEXTS)
    ]
    assert request.roles == {}
    assert peer.results == [None]
    assert conversation.framing.fragment_bytes == 5000 - 6
    assert conversation.parties.peer_address == f"127.0.0.1:{peer.port}"
    assert {
        c.context_id: (c.abstract_syntax, c.transfer_syntax, c.requestor)
        for c in conversation.contexts.values()
    } == {
        1: (VERIFICATION, EXPLICIT, DEFAULT_ROLES),
        3: (CT, IMPLICIT, DEFAULT_ROLES),
        5: (MR, IMPLICIT, DEFAULT_ROLES),
    }


def test_options_are_proposed_and_no_more_is_agreed_upon_than_was_proposed() -> None:
    """PS3.7 D.3.3.5; a peer may answer fewer bytes, and should not answer others."""
    seen: list[AssociateRequest] = []

    def answer(connection: socket.socket) -> None:
        seen.append(accepting(connection, extended={CT: b"\1\1\0\1\1", MR: b"\1", VERIFICATION: b"\1"}))
        released(connection)

    proposed = {CT: b"\1\0\1\1", MR: b"\1\1"}
    with CalledPeer(answer) as peer:
        conversation = associate(CALLER, Remote("STORE", "127.0.0.1", peer.port), CONTEXTS, extended=proposed)
        conversation.release()
    assert seen[0].extended == proposed
    found = {context.abstract_syntax: context.extended for context in conversation.contexts.values()}
    assert found == {VERIFICATION: b"", CT: b"\1\0\0\1", MR: b"\1"}


def test_contexts_that_are_refused_or_answered_wrongly_are_not_used() -> None:
    """A transfer syntax that was not proposed is none to send in."""
    results = {1: (3, EXPLICIT), 3: (0, EXPLICIT), 5: (0, EXPLICIT)}
    with CalledPeer(lambda connection: accepting(connection, results=results)) as peer:
        conversation = called(peer.port)
    assert list(conversation.contexts) == [5]
    conversation.abort()


@pytest.mark.parametrize(
    ("proposed", "answered", "granted"),
    [
        (None, None, DEFAULT_ROLES),
        (Roles(True, True), Roles(False, True), Roles(False, True)),
        (Roles(False, True), Roles(True, True), Roles(False, True)),
        (Roles(False, True), Roles(False, False), Roles(False, False)),
        (Roles(False, True), None, DEFAULT_ROLES),
        (None, Roles(False, True), DEFAULT_ROLES),
    ],
)
def test_roles_are_those_that_both_sides_want(
    proposed: Roles | None, answered: Roles | None, granted: Roles
) -> None:
    """PS3.7 D.3.3.4: without an answer the default roles hold; an answer grants no more than was proposed."""
    roles = {} if answered is None else {CT: answered}
    with CalledPeer(lambda connection: accepting(connection, roles=roles)) as peer:
        conversation = called(peer.port, roles={} if proposed is None else {CT: proposed})
    assert conversation.contexts[3].requestor == granted
    conversation.abort()


REJECTIONS = [
    ((1, 1, 1), "rejected: no reason given (1/1/1)"),
    ((1, 1, 2), "application context"),
    ((1, 1, 3), "does not know our AE title"),
    ((1, 1, 7), "does not answer to the AE title that was called"),
    ((1, 2, 2), "protocol version"),
    ((2, 3, 1), "rejected for now: temporary congestion"),
    ((2, 3, 2), "rejected for now: its limit of associations is reached (2/3/2)"),
    ((1, 9, 9), "no known reason (1/9/9)"),
]


@pytest.mark.parametrize(("numbers", "says"), REJECTIONS)
def test_a_rejection_is_said_in_words(numbers: tuple[int, int, int], says: str) -> None:
    def answer(connection: socket.socket) -> bytes:
        read_pdu(connection)
        connection.sendall(encode_rejection(Rejection(*numbers)))
        return read_to_end(connection)

    with CalledPeer(answer) as peer, pytest.raises(NetworkError) as raised:
        called(peer.port)
    assert says in str(raised.value)
    assert f"STORE@127.0.0.1:{peer.port}" in str(raised.value)
    assert peer.results == [b""], "a rejected association is closed, not aborted"


@pytest.mark.parametrize(
    ("sent", "says", "aborted"),
    [
        (a_abort(2, 1), "aborted by the peer (source 2, reason 1)", b""),
        (A_RELEASE_RP, "A_RELEASE_RP instead of an answer", a_abort(2, 2)),
        (echo_request(), "P_DATA_TF instead of an answer", a_abort(2, 2)),
        (HEADER.pack(4, 60_000), "P_DATA_TF instead of an answer", a_abort(2, 2)),
        (b"HTTP/1.1 400 Bad Request", "does not exist", a_abort(2, 1)),
        (HEADER.pack(2, 5) + bytes(5), "", a_abort(2, 6)),
        (b"", "closed by the peer", None),
    ],
)
def test_other_answers_are_network_errors(
    sent: bytes, says: str, aborted: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.1)

    def answer(connection: socket.socket) -> bytes | None:
        read_pdu(connection)
        connection.sendall(sent)
        return read_to_end(connection) if sent else None

    with CalledPeer(answer) as peer, pytest.raises(NetworkError, match="no association") as raised:
        called(peer.port)
    assert not isinstance(raised.value, AssociationOver)
    assert says in str(raised.value)
    assert peer.results == [aborted]


def test_a_silent_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.1)
    with CalledPeer(read_to_end) as peer, pytest.raises(NetworkError, match="time limit"):
        called(peer.port, QUICK)
    (found,) = peer.results
    assert isinstance(found, bytes)
    assert found.endswith(a_abort(0, 0))


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NetworkError, match=r"no connection: .*refused"):
        called(port)


@pytest.mark.parametrize("host", ["a" * 70 + ".invalid", "unknown.invalid", ".."])
def test_a_host_that_is_none(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if host == "unknown.invalid":

        def getaddrinfo(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(NetworkError, match="no connection"):
        associate(QUICK, Remote("STORE", host, 104), CONTEXTS)


def test_a_connection_that_is_not_made_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_connection(*_: object, **__: object) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(module.socket, "create_connection", create_connection)
    with pytest.raises(NetworkError, match=r"within 0.2 s"):
        called(1, QUICK)


def answers() -> list[Callable[[socket.socket], object]]:
    def rejecting(connection: socket.socket) -> None:
        read_pdu(connection)
        connection.sendall(encode_rejection(Rejection(1, 1, 1)))

    def resetting(connection: socket.socket) -> None:
        read_pdu(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def garbage(connection: socket.socket) -> None:
        read_pdu(connection)
        connection.sendall(HEADER.pack(PDUType.A_ASSOCIATE_AC, 3) + b"abc")

    return [rejecting, resetting, garbage]


@pytest.mark.parametrize("answer", answers())
def test_no_descriptor_is_left_of_what_failed(
    answer: Callable[[socket.socket], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.1)
    before = len(os.listdir("/proc/self/fd"))
    with CalledPeer(answer) as peer, pytest.raises(NetworkError):
        called(peer.port)
    assert len(os.listdir("/proc/self/fd")) == before
