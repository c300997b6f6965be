"""The upper layer protocol machine: its table cell by cell, and what each place that reads a PDU makes of it."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from pynetdicom.fsm import TRANSITION_TABLE

from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Proposal,
    Rejection,
    encode_accept,
    encode_rejection,
    encode_request,
)
from pacsnode.dimse.association.command import response
from pacsnode.dimse.association.conversation import Conversation
from pacsnode.dimse.association.endings import AbortReason, AssociationOver, ProtocolViolation
from pacsnode.dimse.association.lobby import Lobby
from pacsnode.dimse.association.pdu import (
    A_RELEASE_RP,
    A_RELEASE_RQ,
    HEADER,
    IS_COMMAND,
    IS_LAST,
    PDUType,
    a_abort,
)
from pacsnode.dimse.association.requestor import Caller, Remote, associate
from pacsnode.dimse.association.states import Action, Event, State, next_step, on_pdu, unexpected
from pacsnode.dimse.rules import Timeouts
from pacsnode.errors import NetworkError
from tests.dimse_peers import (
    VERIFICATION,
    CalledPeer,
    Talk,
    echo_request,
    p_data,
    read_pdu,
    read_to_end,
    request_command,
)

# PS3.8 table 9-10 read the other way: by action, its next state, and for each event the states in which it is taken.
_MOST = (3, 5, 6, 7, 8, 9, 10, 11, 12)
BY_ACTION: dict[str, tuple[int, dict[int, tuple[int, ...]]]] = {
    "AE-1": (4, {1: (1,)}),
    "AE-2": (5, {2: (4,)}),
    "AE-3": (6, {3: (5,)}),
    "AE-4": (1, {4: (5,)}),
    "AE-5": (2, {5: (1,)}),
    "AE-6": (3, {6: (2,)}),
    "AE-7": (6, {7: (3,)}),
    "AE-8": (13, {8: (3,)}),
    "DT-1": (6, {9: (6,)}),
    "DT-2": (6, {10: (6,)}),
    "AR-1": (7, {11: (6,)}),
    "AR-2": (8, {12: (6,)}),
    "AR-3": (1, {13: (7, 11)}),
    "AR-4": (13, {14: (8, 12)}),
    "AR-5": (1, {17: (13,)}),
    "AR-6": (7, {10: (7,)}),
    "AR-7": (8, {9: (8,)}),
    "AR-8": (9, {12: (7,)}),
    "AR-9": (11, {14: (9,)}),
    "AR-10": (12, {13: (10,)}),
    "AA-1": (13, {3: (2,), 4: (2,), 10: (2,), 12: (2,), 13: (2,), 15: _MOST, 19: (2,)}),
    "AA-2": (1, {15: (4,), 16: (2, 13), 18: (2, 13)}),
    "AA-3": (1, {16: _MOST}),
    "AA-4": (1, {17: (3, 4, 5, 6, 7, 8, 9, 10, 11, 12)}),
    "AA-5": (1, {17: (2,)}),
    "AA-6": (13, {3: (13,), 4: (13,), 10: (13,), 12: (13,), 13: (13,)}),
    "AA-7": (13, {6: (13,), 19: (13,)}),
    "AA-8": (
        13,
        {
            3: (3, 6, 7, 8, 9, 10, 11, 12),
            4: (3, 6, 7, 8, 9, 10, 11, 12),
            6: _MOST,
            10: (3, 5, 8, 9, 10, 11, 12),
            12: (3, 5, 8, 9, 10, 11, 12),
            13: (3, 5, 6, 8, 9, 12),
            19: _MOST,
        },
    ),
}
CELLS = {
    (event, state): (action, after)
    for action, (after, events) in BY_ACTION.items()
    for event, states in events.items()
    for state in states
}

REQUEST = AssociateRequest(
    "PACSNODE", "CT1", APPLICATION_CONTEXT_NAME, (Proposal(1, VERIFICATION, ("1.2.840.10008.1.2.1",)),), 16384
)
PDUS = {
    PDUType.A_ASSOCIATE_RQ: encode_request(REQUEST, our_max_pdu_bytes=16384),
    PDUType.A_ASSOCIATE_AC: encode_accept(REQUEST, [], {}, our_max_pdu_bytes=16384),
    PDUType.A_ASSOCIATE_RJ: encode_rejection(Rejection(1, 1, 7)),
    PDUType.P_DATA_TF: echo_request(),
    PDUType.A_RELEASE_RQ: A_RELEASE_RQ,
    PDUType.A_RELEASE_RP: A_RELEASE_RP,
    PDUType.A_ABORT: a_abort(0, 0),
}
UNEXPECTED = a_abort(2, 2)
BY_USER = a_abort(0, 0)

each_pdu = pytest.mark.parametrize("pdu_type", PDUS)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_each_cell(event: Event, state: State) -> None:
    oracle = TRANSITION_TABLE.get((f"Evt{event}", f"Sta{state}"))
    cell = CELLS.get((event, state))
    assert (cell and cell[0]) == oracle, "the two literals that judge the table agree"
    if cell is None:
        with pytest.raises(KeyError):
            next_step(state, event)
        return
    action, after = next_step(state, event)
    assert (action.name.replace("_", "-"), int(after)) == cell


def test_the_table_is_whole() -> None:
    assert len(CELLS) == len(TRANSITION_TABLE) == 123
    assert {action.name.replace("_", "-") for action in Action} == set(BY_ACTION)


@pytest.mark.parametrize("state", State)
@each_pdu
def test_the_arrival_of_a_pdu_is_the_event_of_its_name(state: State, pdu_type: PDUType) -> None:
    event = Event[pdu_type.name]
    if (event, state) in CELLS:
        assert on_pdu(state, int(pdu_type)) == next_step(state, event)
    else:
        with pytest.raises(KeyError):
            on_pdu(state, pdu_type)


def test_what_must_not_come_is_a_violation() -> None:
    over = unexpected(6, "on an association")
    assert isinstance(over, ProtocolViolation)
    assert (str(over), over.reason) == ("A_RELEASE_RP on an association", AbortReason.UNEXPECTED_PDU)


# What comes back, for each state that we can be in


@each_pdu
def test_state_2_in_the_lobby(pdu_type: PDUType) -> None:
    action, _ = next_step(State.AWAITING_REQUEST, Event[pdu_type.name])
    entered = list[bytes]()

    def enter(connection: socket.socket, _: object, body: bytes) -> None:
        entered.append(body)
        connection.close()

    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    lobby = Lobby(
        listening, enter=enter, leave=lambda *_: None, probed=lambda _: None, capacity=10, seconds=20.0
    )
    lobby.start()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20.0) as peer:
            peer.sendall(PDUS[pdu_type])
            back = read_to_end(peer)
    finally:
        lobby.stop()
    assert back == {Action.AE_6: b"", Action.AA_1: UNEXPECTED, Action.AA_2: b""}[action]
    assert entered == ([PDUS[pdu_type][HEADER.size :]] if action is Action.AE_6 else [])


@each_pdu
def test_state_5_of_a_requestor(pdu_type: PDUType) -> None:
    action, _ = next_step(State.AWAITING_ANSWER, Event[pdu_type.name])

    def answer(connection: socket.socket) -> bytes:
        read_pdu(connection)
        connection.sendall(PDUS[pdu_type])
        return read_to_end(connection)

    with CalledPeer(answer) as peer:
        remote = Remote("STORE", "127.0.0.1", peer.port)
        try:
            associate(Caller(), remote, [(VERIFICATION, ("1.2.840.10008.1.2.1",))]).transport.close()
            ending = Action.AE_3
        except NetworkError as error:
            ending = _ending_of(str(error))
    assert ending is action
    assert peer.results == [UNEXPECTED if action is Action.AA_8 else b""]


def _ending_of(said: str) -> Action:
    words = {"rejected": Action.AE_4, "aborted by the peer": Action.AA_3, "instead of an answer": Action.AA_8}
    return next(action for word, action in words.items() if word in said)


class Peer:
    """Runs our side in a thread, ending it as the server does, and gives what its peer finds."""

    def __init__(self, talk: Talk, ours: Callable[[Conversation], object]) -> None:
        self._talk = talk
        self._ours = ours
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        conversation = self._talk.conversation
        try:
            self._ours(conversation)
        except AssociationOver as over:
            conversation.abort(over)
        else:
            conversation.transport.close()

    def finds(self, *sent: bytes) -> bytes:
        self._talk.peer.sendall(b"".join(sent))
        back = read_to_end(self._talk.peer)
        self._talk.peer.close()
        self._thread.join(10)
        assert not self._thread.is_alive()
        return back


@each_pdu
def test_state_6_between_messages(pdu_type: PDUType) -> None:
    action, _ = next_step(State.ESTABLISHED, Event[pdu_type.name])
    found = list[object]()
    with Talk() as talk:
        back = Peer(talk, lambda conversation: found.append(conversation.receive())).finds(PDUS[pdu_type])
    expected = {Action.DT_2: b"", Action.AR_2: A_RELEASE_RP, Action.AA_3: b"", Action.AA_8: UNEXPECTED}
    assert back == expected[action]
    assert (action is Action.DT_2) == (found not in ([], [None]))


@each_pdu
def test_state_6_within_a_message(pdu_type: PDUType) -> None:
    """A release is indicated to the service user (AR-2), who holds half a message and aborts (AA-1 in state 8)."""
    action, _ = next_step(State.ESTABLISHED, Event[pdu_type.name])
    command = request_command(0x30, VERIFICATION)
    rest = p_data(1, (IS_COMMAND | IS_LAST, command[20:]))
    found = list[object]()
    with Talk() as talk:
        back = Peer(talk, lambda conversation: found.append(conversation.receive())).finds(
            p_data(1, (IS_COMMAND, command[:20])),
            rest if pdu_type == PDUType.P_DATA_TF else PDUS[pdu_type],
        )
    expected = {Action.DT_2: b"", Action.AR_2: BY_USER, Action.AA_3: b"", Action.AA_8: UNEXPECTED}
    assert back == expected[action]
    assert len(found) == (action is Action.DT_2)


@each_pdu
def test_state_6_during_an_operation(pdu_type: PDUType) -> None:
    """What is allowed waits for the end of the operation: a request, or the release (AR-7, then AR-4)."""
    action, _ = next_step(State.ESTABLISHED, Event[pdu_type.name])

    def operation(conversation: Conversation) -> None:
        received = conversation.receive()
        assert received is not None
        assert not conversation.cancelled(7)
        conversation.respond(received.context, response(received.command, 0))
        conversation.receive()

    with Talk() as talk:
        talk.peer.sendall(echo_request(7) + PDUS[pdu_type])
        with Talk() as wanted:
            wanted.peer.sendall(echo_request(7))
            received = wanted.conversation.receive()
            assert received is not None
            wanted.conversation.respond(received.context, response(received.command, 0))
            answer = b"".join(_pdu(wanted.peer))
        back = Peer(talk, operation).finds()
    expected = {
        Action.DT_2: answer,
        Action.AR_2: answer + A_RELEASE_RP,
        Action.AA_3: b"",
        Action.AA_8: UNEXPECTED,
    }
    assert back == expected[action]


def _pdu(connection: socket.socket) -> tuple[bytes, bytes]:
    pdu_type, body = read_pdu(connection)
    return HEADER.pack(pdu_type, len(body)), body


@pytest.mark.parametrize("is_collision", [False, True])
@each_pdu
def test_states_7_and_11_after_our_release_request(pdu_type: PDUType, is_collision: bool) -> None:
    """What AR-6 and AR-8 lead to is seen by the release response that follows them."""
    state = State.COLLISION_REQUESTOR_REMOTE if is_collision else State.AWAITING_RELEASE_RESPONSE
    action, _ = next_step(state, Event[pdu_type.name])
    before = A_RELEASE_RQ if is_collision else b""
    goes_on = action in (Action.AR_6, Action.AR_8)
    with Talk() as talk:
        back = Peer(talk, lambda conversation: conversation.release()).finds(
            before, PDUS[pdu_type], A_RELEASE_RP if goes_on else b""
        )
    last = {Action.AR_8: A_RELEASE_RP, Action.AA_8: UNEXPECTED}.get(action, b"")
    assert back == A_RELEASE_RQ + (A_RELEASE_RP if is_collision else b"") + last


@each_pdu
def test_state_13_after_our_abort(pdu_type: PDUType) -> None:
    """Read and ignored (AA-6). AA-7 would repeat the A-ABORT: we have sent it and shut our direction behind it."""
    action, _ = next_step(State.AWAITING_CLOSE, Event[pdu_type.name])
    assert action in (Action.AA_6, Action.AA_7, Action.AA_2)
    with Talk() as talk:
        back = Peer(talk, lambda conversation: conversation.abort()).finds(PDUS[pdu_type])
    assert back == BY_USER


def test_a_release_is_over_in_time_however_much_the_peer_still_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data may come until the response does (AR-6), but not for ever."""
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.1)
    ended = threading.Event()

    def ours(conversation: Conversation) -> None:
        try:
            conversation.release()
        finally:
            ended.set()

    with Talk(timeouts=Timeouts(acse=0.05, dimse=0.05, network=0.05)) as talk:
        peer = Peer(talk, ours)
        with suppress(OSError):
            while not ended.is_set():
                talk.peer.sendall(echo_request())
        assert ended.wait(10)
        with suppress(OSError):
            peer.finds()
