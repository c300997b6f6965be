"""The conversation: what may come when, what goes out, and how it ends."""

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dimse.association import conversation as module
from pacsnode.dimse.association.command import CommandField, Element, response
from pacsnode.dimse.association.conversation import (
    Conversation,
    abort_connection,
)
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
from pacsnode.dimse.association.pdu import (
    A_RELEASE_RP,
    A_RELEASE_RQ,
    HEADER,
    IS_COMMAND,
    IS_LAST,
    PDUType,
    a_abort,
)
from pacsnode.dimse.rules import Timeouts
from tests.dimse_peers import (
    SCP,
    SCU,
    STUDY_ROOT_FIND,
    VERIFICATION,
    Script,
    Talk,
    cancel_request,
    context,
    conversation_on,
    echo_request,
    message,
    p_data,
    parsed,
    read_pdu,
    read_to_end,
    request_command,
    response_message,
    store_request,
    us_of,
)
from tests.factories import CT, Sample
from tests.faults import bounded

CONTEXTS = (context(1), context(3, CT), context(5, STUDY_ROOT_FIND))
SHORT = Timeouts(acse=0.05, dimse=0.05, network=0.05)


def find_request(message_id: int, identifier: bytes, fragment_bytes: int = 1 << 14) -> bytes:
    command = request_command(CommandField.C_FIND, STUDY_ROOT_FIND, message_id, has_data_set=True)
    return message(5, command, identifier, fragment_bytes=fragment_bytes)


def on_script(*pieces: bytes, **options: int) -> tuple[Conversation, Script]:
    script = Script(pieces)
    return conversation_on(script, CONTEXTS, **options), script


@pytest.fixture
def talk() -> Iterator[Talk]:
    with Talk(CONTEXTS) as talk:
        yield talk


def ids(conversation: Conversation) -> Callable[[], int]:
    def next_id() -> int:
        message = conversation.receive()
        assert message is not None
        return message.command.message_id

    return next_id


# Any fragmentation


@given(
    cuts=st.lists(st.integers(0, 3000), max_size=30),
    fragment_bytes=st.integers(1, 400),
    identifier=st.binary(max_size=300),
    is_byte_by_byte=st.booleans(),
)
def test_any_fragmentation_gives_the_same_messages(
    cuts: list[int], fragment_bytes: int, identifier: bytes, is_byte_by_byte: bool
) -> None:
    sample = Sample()
    stream = (
        echo_request(1)
        + store_request(sample, 2, context_id=3, fragment_bytes=fragment_bytes)
        + find_request(3, identifier, fragment_bytes)
        + echo_request(4)
        + A_RELEASE_RQ
    )
    script = Script([bytes([byte]) for byte in stream]) if is_byte_by_byte else Script.cut_at(stream, cuts)
    conversation = conversation_on(script, CONTEXTS)
    found = []
    while (received := conversation.receive()) is not None:
        found.append((received.command.field, received.context.context_id, conversation.data_set(1 << 20)))
    assert found == [
        (CommandField.C_ECHO, 1, b""),
        (CommandField.C_STORE, 3, sample.data_set),
        (CommandField.C_FIND, 5, identifier),
        (CommandField.C_ECHO, 1, b""),
    ]
    assert script.sent == [A_RELEASE_RP]
    assert script.is_closed


@given(pieces=st.lists(st.binary(max_size=200), max_size=6), at=st.integers(0, 60))
def test_a_command_set_in_fragments_and_messages_within_one_pdu(pieces: list[bytes], at: int) -> None:
    command = request_command(CommandField.C_FIND, STUDY_ROOT_FIND, 3, has_data_set=True)
    cancel = cancel_request(3, context_id=5)[12:]
    fragments = [(IS_COMMAND, command[:at]), (IS_COMMAND | IS_LAST, command[at:])]
    fragments += [(0, piece) for piece in pieces] + [(IS_LAST, b"end")]
    fragments.append((IS_COMMAND | IS_LAST, cancel))
    conversation, _ = on_script(p_data(5, *fragments) + A_RELEASE_RQ)
    assert conversation.receive() is not None
    assert conversation.data_set(1 << 20) == b"".join(pieces) + b"end"
    assert conversation.cancelled(3)
    assert conversation.receive() is None


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=8))
def test_arbitrary_bytes_end_the_association_and_raise_nothing_else(data: bytes, cuts: list[int]) -> None:
    conversation = conversation_on(Script.cut_at(data, cuts), CONTEXTS)
    with pytest.raises(AssociationOver):
        receive_all(conversation)


def receive_all(conversation: Conversation) -> None:
    while conversation.receive() is not None:
        conversation.cancelled(1)


@given(
    mutations=st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4
    )
)
def test_mutated_conversations_raise_nothing_else(mutations: list[tuple[int, int, bytes]]) -> None:
    from tests.unit.dicom.headers import mutated

    stream = (
        echo_request(1)
        + store_request(Sample(), 2, context_id=3, fragment_bytes=100)
        + find_request(3, b"ab")
    )
    stream += cancel_request(3, context_id=5) + A_RELEASE_RQ
    conversation = conversation_on(Script([mutated(stream, mutations)]), CONTEXTS)
    try:
        for _ in range(100):
            received = conversation.receive()
            if received is None:
                return
            conversation.data_set(1 << 20)
            conversation.cancelled(3)
    except AssociationOver:
        return
    raise AssertionError("more messages than bytes")


# Between messages


def test_late_cancels_and_responses_are_dropped() -> None:
    conversation, _ = on_script(
        cancel_request(1),
        response_message(CommandField.C_STORE, 5, 0, context_id=3, data_set=b"with data"),
        echo_request(9),
        A_RELEASE_RQ,
    )
    assert ids(conversation)() == 9
    assert conversation.receive() is None


def test_an_unread_data_set_is_read_over() -> None:
    conversation, _ = on_script(find_request(1, bytes(100_000)) + echo_request(2))
    assert ids(conversation)() == 1
    assert ids(conversation)() == 2


def test_a_silent_peer_is_not_waited_for_longer_than_the_network_timeout() -> None:
    with Talk(CONTEXTS, timeouts=SHORT) as talk, pytest.raises(DeadlinePassed):
        talk.conversation.receive()


@pytest.mark.parametrize("sent", [3, 12, 40])
def test_a_message_that_has_begun_must_go_on(sent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.reader._PDU_SECONDS", 0.05)
    with Talk(CONTEXTS) as talk:
        talk.peer.sendall(echo_request()[:sent])
        with pytest.raises(DeadlinePassed):
            talk.conversation.receive()


def test_the_fragments_of_a_message_must_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BETWEEN_FRAGMENTS_SECONDS", 0.05)
    command = request_command(CommandField.C_FIND, STUDY_ROOT_FIND, 1, has_data_set=True)
    for sent in (
        p_data(5, (IS_COMMAND, command[:20])),
        p_data(5, (3, command)),
        p_data(5, (3, command), (0, b"half")),
    ):
        with Talk(CONTEXTS) as talk:
            talk.peer.sendall(sent)
            with pytest.raises(DeadlinePassed):
                receive_whole(talk.conversation)


def receive_whole(conversation: Conversation) -> bytes:
    assert conversation.receive() is not None
    return conversation.data_set(1 << 20)


def test_an_idle_association_ends_when_the_node_stops() -> None:
    descriptor = os.eventfd(1, os.EFD_NONBLOCK)
    try:
        with Talk(CONTEXTS, stop_descriptor=descriptor) as talk:
            with pytest.raises(NodeStopping):
                talk.conversation.receive()
            talk.peer.sendall(echo_request(1))
            assert ids(talk.conversation)() == 1, "what has come is served"
    finally:
        os.close(descriptor)


# During an operation


def test_a_cancel_in_one_segment_with_its_request_is_seen(talk: Talk) -> None:
    talk.peer.sendall(find_request(7, b"identifier") + cancel_request(7, context_id=5))
    received = talk.conversation.receive()
    assert received is not None
    assert not talk.conversation.cancelled(7), "its data set comes first"
    assert talk.conversation.data_set(1000) == b"identifier"
    assert talk.conversation.cancelled(7)
    assert not talk.conversation.cancelled(8)


def test_a_cancel_in_pieces_is_seen_when_it_is_whole(talk: Talk) -> None:
    talk.peer.sendall(find_request(7, b"identifier"))
    assert receive_whole(talk.conversation) == b"identifier"
    cancel = cancel_request(7, context_id=5)
    for byte in cancel[:-1]:
        talk.peer.sendall(bytes([byte]))
        assert not talk.conversation.cancelled(7)
    talk.peer.sendall(cancel[-1:])
    descriptor = os.eventfd(0)
    try:
        talk.conversation.wait(descriptor, time.monotonic() + 10)
    finally:
        os.close(descriptor)
    assert talk.conversation.cancelled(7)


def test_a_command_set_whose_rest_does_not_come_holds_nothing_up(talk: Talk) -> None:
    """In PDUs of its own, each of them whole: an operation under way, and what it holds, never waits for the peer."""
    talk.peer.sendall(find_request(7, b"identifier"))
    assert receive_whole(talk.conversation) == b"identifier"
    command = cancel_request(7, context_id=5)[12:]
    talk.peer.sendall(p_data(5, (IS_COMMAND, command[:10])))
    started = time.monotonic()
    assert any(not talk.conversation.cancelled(7) and talk.conversation._command for _ in bounded(10))
    assert not talk.conversation.cancelled(7)
    assert time.monotonic() - started < 10
    talk.peer.sendall(p_data(5, (IS_COMMAND | IS_LAST, command[10:])))
    assert any(talk.conversation.cancelled(7) for _ in bounded(10))


def test_a_late_response_with_a_data_set_holds_nothing_up(talk: Talk) -> None:
    """C-STORE's has none, and a peer that says otherwise must not be waited for."""
    talk.peer.sendall(find_request(7, b"identifier"))
    assert receive_whole(talk.conversation) == b"identifier"
    late = response_message(CommandField.C_STORE, 1, 0, context_id=5, data_set=b"late")
    rest = p_data(5, (IS_LAST, b"late"))
    assert late.endswith(rest)
    talk.peer.sendall(late.removesuffix(rest))
    for _ in bounded(10):
        assert not talk.conversation.cancelled(7)
        if talk.conversation._unread is not None:
            break
    talk.peer.sendall(rest + echo_request(9))
    received = talk.conversation.receive()
    assert received is not None
    assert received.command.message_id == 9


def test_a_cancel_of_an_earlier_operation_does_not_count(talk: Talk) -> None:
    talk.peer.sendall(find_request(7, b"a") + cancel_request(7, context_id=5))
    receive_whole(talk.conversation)
    assert talk.conversation.cancelled(7)
    talk.peer.sendall(find_request(7, b"b"))
    receive_whole(talk.conversation)
    assert not talk.conversation.cancelled(7)


def test_one_request_is_parked_and_a_second_is_not_read(talk: Talk) -> None:
    talk.peer.sendall(find_request(1, b"first"))
    receive_whole(talk.conversation)
    talk.peer.sendall(find_request(2, b"second"))
    for _ in range(3):
        assert not talk.conversation.cancelled(1)
    read = talk.conversation.transport.bytes_received
    talk.peer.sendall(find_request(3, b"third") + cancel_request(1, context_id=5))
    for _ in range(3):
        assert not talk.conversation.cancelled(1), "a cancel behind a request that waits is not looked for"
    assert talk.conversation.transport.bytes_received == read
    assert receive_whole(talk.conversation) == b"second"
    assert receive_whole(talk.conversation) == b"third"


def test_a_parked_request_may_be_cancelled_when_its_turn_comes() -> None:
    conversation, _ = on_script(
        find_request(1, b"a") + find_request(2, b"b") + cancel_request(2, context_id=5)
    )
    receive_whole(conversation)
    assert not conversation.cancelled(1)
    receive_whole(conversation)
    assert conversation.cancelled(2)


def test_a_parked_request_without_data_set(talk: Talk) -> None:
    talk.peer.sendall(echo_request(1) + echo_request(2) + echo_request(3))
    assert ids(talk.conversation)() == 1
    assert not talk.conversation.cancelled(1)
    assert ids(talk.conversation)() == 2
    assert ids(talk.conversation)() == 3


def test_a_release_during_an_operation_waits_for_its_end(talk: Talk) -> None:
    talk.peer.sendall(echo_request(1) + A_RELEASE_RQ)
    received = talk.conversation.receive()
    assert received is not None
    for _ in range(2):
        assert not talk.conversation.cancelled(1)
    talk.conversation.respond(received.context, response(received.command, 0))
    releasing = threading.Thread(target=talk.conversation.receive)
    releasing.start()
    answer, control = parsed(read_to_end(talk.peer))
    assert us_of(answer.command, Element.STATUS) == 0
    assert control.pdu_type == PDUType.A_RELEASE_RP
    talk.peer.close()
    releasing.join(10)
    assert not releasing.is_alive()


def repeated(look: Callable[[], object]) -> None:
    while True:
        look()


@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("look", ["cancelled", "wait", "receive", "response_to", "next_message"])
def test_an_abort_is_found_at_the_next_look(talk: Talk, look: str, is_closed: bool) -> None:
    talk.peer.sendall(echo_request(1))
    ids(talk.conversation)()
    talk.peer.sendall(cancel_request(1) + a_abort(0, 0))
    if is_closed:
        talk.peer.close()
    descriptor = os.eventfd(0)
    conversation = talk.conversation
    try:
        looks: dict[str, Callable[[], object]] = {
            "cancelled": lambda: conversation.cancelled(2),
            "wait": lambda: conversation.wait(descriptor, time.monotonic() + 10),
            "receive": conversation.receive,
            "response_to": lambda: conversation.response_to(1),
            "next_message": conversation.next_message,
        }
        with pytest.raises(PeerAborted):
            repeated(looks[look])
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("at", range(0, len(store_request(Sample(), 2, context_id=3)), 29))
def test_an_abort_or_a_lost_connection_at_any_point_of_a_message(at: int) -> None:
    stream = store_request(Sample(), 2, context_id=3, fragment_bytes=50)
    for end in (b"", a_abort(2, 1)):
        conversation, _ = on_script(stream[:at], end)
        with pytest.raises(AssociationOver) as raised:
            receive_whole(conversation)
        if not end:
            assert isinstance(raised.value, ConnectionLost)


def test_an_abort_between_the_fragments_of_a_message() -> None:
    command = request_command(CommandField.C_FIND, STUDY_ROOT_FIND, 1, has_data_set=True)
    for begun in (p_data(5, (1, command[:10])), p_data(5, (3, command)), p_data(5, (3, command), (0, b"x"))):
        conversation, _ = on_script(begun, a_abort(0, 0))
        with pytest.raises(PeerAborted):
            receive_whole(conversation)


def test_waiting_ends_with_the_wake_descriptor_while_a_request_is_parked(talk: Talk) -> None:
    talk.peer.sendall(echo_request(1) + echo_request(2))
    ids(talk.conversation)()
    assert not talk.conversation.cancelled(1)
    talk.peer.sendall(echo_request(3))
    descriptor = os.eventfd(0)
    started = time.monotonic()
    try:
        talk.conversation.wait(descriptor, started + 0.05)
        assert time.monotonic() - started >= 0.05, "what the peer sends ahead does not wake it all the time"
        os.eventfd_write(descriptor, 1)
        talk.conversation.wait(descriptor, time.monotonic() + 20)
    finally:
        os.close(descriptor)
    assert ids(talk.conversation)() == 2
    assert ids(talk.conversation)() == 3


# Broken rules

COMMAND = request_command(CommandField.C_FIND, STUDY_ROOT_FIND, 1, has_data_set=True)


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (p_data(5, (2, b"a data set without a command")), MessageViolation),
        (p_data(5, (1, COMMAND[:10])) + p_data(3, (3, COMMAND[10:])), MessageViolation),
        (p_data(5, (1, COMMAND[:10])) + p_data(5, (2, b"x")), MessageViolation),
        (p_data(5, (1, COMMAND[:10])) + A_RELEASE_RQ, MessageViolation),
        (p_data(5, (3, COMMAND)) + A_RELEASE_RQ, MessageViolation),
        (p_data(5, (3, COMMAND)) + p_data(3, (2, b"x")), MessageViolation),
        (p_data(5, (3, COMMAND)) + echo_request(2), MessageViolation),
        (p_data(5, (3, b"")), MessageViolation),
        (p_data(5, (3, b"garbage")), MessageViolation),
        (p_data(5, (1, bytes(10_000)), (1, bytes(10_000))), MessageViolation),
        (p_data(7, (3, COMMAND)), ProtocolViolation),
        (HEADER.pack(PDUType.A_ASSOCIATE_RQ, 0), ProtocolViolation),
        (HEADER.pack(PDUType.A_ASSOCIATE_AC, 3) + b"abc", ProtocolViolation),
        (HEADER.pack(PDUType.A_ASSOCIATE_RJ, 4) + bytes(4), ProtocolViolation),
        (A_RELEASE_RP, ProtocolViolation),
    ],
)
def test_what_breaks_the_protocol(stream: bytes, kind: type[AssociationOver]) -> None:
    conversation, _ = on_script(stream)
    with pytest.raises(kind):
        receive_whole(conversation)


def test_an_identifier_over_the_limit_is_not_held() -> None:
    conversation, _ = on_script(find_request(1, bytes(2000), fragment_bytes=300))
    assert conversation.receive() is not None
    with pytest.raises(MessageViolation, match="more than 1000"):
        conversation.data_set(1000)


# Our requests


def test_a_response_is_matched_by_message_id() -> None:
    conversation, _ = on_script(
        response_message(CommandField.C_STORE, 4, 0xA700, context_id=3),
        response_message(CommandField.C_STORE, 6, 0xB000, context_id=3, data_set=b"with a data set"),
        response_message(CommandField.C_STORE, 5, 0x0000, context_id=3),
        echo_request(1),
    )
    assert conversation.response_to(5).command.status == 0
    assert ids(conversation)() == 1


def test_a_cancel_during_a_sub_operation_is_remembered() -> None:
    conversation, _ = on_script(
        cancel_request(7, context_id=5), response_message(CommandField.C_STORE, 1, 0, context_id=3)
    )
    assert conversation.response_to(1).command.status == 0
    assert conversation.cancelled(7)


@pytest.mark.parametrize("stream", [echo_request(1), A_RELEASE_RQ])
def test_a_request_or_release_while_a_response_is_due(stream: bytes) -> None:
    conversation, _ = on_script(stream)
    with pytest.raises(MessageViolation):
        conversation.response_to(1)


def test_a_response_is_not_waited_for_from_a_peer_that_has_asked_for_the_release(talk: Talk) -> None:
    """Nothing can come any more: waiting would hold the thread for the whole time-out."""
    talk.peer.sendall(echo_request(1) + A_RELEASE_RQ)
    ids(talk.conversation)()
    talk.conversation.cancelled(1)
    for wait in (lambda: talk.conversation.response_to(1), talk.conversation.next_message):
        with pytest.raises(MessageViolation, match="release"):
            wait()


def test_a_response_that_does_not_come() -> None:
    for wait in (lambda c: c.response_to(1), lambda c: c.next_message()):
        with Talk(CONTEXTS, timeouts=SHORT) as talk, pytest.raises(DeadlinePassed):
            wait(talk.conversation)


def test_message_ids_go_round_and_are_never_zero() -> None:
    conversation, _ = on_script()
    found = [conversation.next_message_id() for _ in range(0x10000)]
    assert found[0] == 1
    assert found[-2:] == [0xFFFF, 1]
    assert min(found) == 1


@pytest.mark.parametrize(
    ("abstract_syntax", "syntax", "as_requestor", "expected"),
    [
        (CT, "1.2.840.10008.1.2.1", True, 1),
        (CT, "1.2.840.10008.1.2.1", False, 3),
        (CT, "1.2.840.10008.1.2", True, 5),
        (CT, "1.2.840.10008.1.2.2", True, None),
        (VERIFICATION, "1.2.840.10008.1.2.1", True, None),
    ],
)
def test_the_context_to_send_in(
    abstract_syntax: str, syntax: str, as_requestor: bool, expected: int | None
) -> None:
    contexts = [
        context(1, CT, roles=SCU),
        context(3, CT, roles=SCP),
        context(5, CT, "1.2.840.10008.1.2", roles=SCU),
    ]
    conversation = conversation_on(Script([]), contexts)
    found = conversation.contexts_for(abstract_syntax, as_requestor=as_requestor).get(syntax)
    assert (found.context_id if found else None) == expected


# What goes out


def test_several_messages_go_out_in_one_write() -> None:
    conversation, script = on_script()
    commands = [request_command(CommandField.C_FIND, CT, number, has_data_set=True) for number in range(3)]
    conversation.respond_all(
        CONTEXTS[2], [(command, b"%04d" % number) for number, command in enumerate(commands)]
    )
    (written,) = script.sent
    assert [(found.command, found.data_set) for found in parsed(written)] == [
        (command, b"%04d" % number) for number, command in enumerate(commands)
    ]


def test_a_peer_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WRITE_SECONDS", 0.1)
    monkeypatch.setattr(module, "_BYTES_PER_SECOND", 1 << 40)
    with Talk(CONTEXTS, peer_max_pdu_bytes=0) as talk, pytest.raises(DeadlinePassed):
        talk.conversation.respond(CONTEXTS[0], request_command(1, CT, has_data_set=True), bytes(64 << 20))


# How it ends


def in_thread(function: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def answered(talk: Talk, answer: bytes) -> None:
    """Release, the peer answering as given; its request comes first."""
    caught: list[BaseException] = []

    def release() -> None:
        try:
            talk.conversation.release()
        except AssociationOver as over:
            caught.append(over)

    thread = in_thread(release)
    assert read_pdu(talk.peer) == (PDUType.A_RELEASE_RQ, bytes(4))
    talk.peer.sendall(answer)
    thread.join(10)
    assert not thread.is_alive()
    if caught:
        raise caught[0]


@pytest.mark.parametrize(
    "before", [b"", response_message(CommandField.C_STORE, 1, 0, context_id=3, data_set=bytes(5000))]
)
def test_a_release_is_answered(talk: Talk, before: bytes) -> None:
    answered(talk, before + A_RELEASE_RP)
    assert talk.peer.recv(10) == b""


def test_both_sides_release_at_once(talk: Talk) -> None:
    answered(talk, A_RELEASE_RQ + A_RELEASE_RP)
    assert read_pdu(talk.peer) == (PDUType.A_RELEASE_RP, bytes(4))


def test_a_release_that_is_answered_by_an_abort(talk: Talk) -> None:
    with pytest.raises(PeerAborted):
        answered(talk, a_abort(0, 0))


def test_a_release_that_is_not_answered() -> None:
    with Talk(CONTEXTS, timeouts=SHORT) as talk, pytest.raises(DeadlinePassed):
        talk.conversation.release()


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        (ProtocolViolation("x", AbortReason.UNEXPECTED_PDU), a_abort(2, 2)),
        (ProtocolViolation("x", AbortReason.UNRECOGNIZED_PDU), a_abort(2, 1)),
        (MessageViolation("x"), a_abort(0, 0)),
        (DeadlinePassed("x"), a_abort(0, 0)),
        (NodeStopping("x"), a_abort(0, 0)),
        (AssociationOver("x"), a_abort(0, 0)),
        (None, a_abort(0, 0)),
        (PeerAborted("x"), b""),
        (ConnectionLost("x"), b""),
    ],
)
def test_the_abort_that_fits(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, over: AssociationOver | None, expected: bytes
) -> None:
    monkeypatch.setattr(module, "_ABORT_SECONDS", 0.05)
    talk.conversation.abort(over)
    assert read_to_end(talk.peer) == expected
    talk.conversation.abort(over)


def test_an_abort_on_a_broken_connection_raises_nothing(talk: Talk) -> None:
    talk.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.peer.close()
    abort_connection(talk.conversation.transport, None)


def test_an_abort_to_a_peer_that_does_not_read_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ABORT_SECONDS", 0.05)
    with Talk(CONTEXTS) as talk:
        with pytest.raises(DeadlinePassed):
            talk.conversation.transport.send([bytes(32 << 20)], time.monotonic() + 0.05)
        started = time.monotonic()
        talk.conversation.abort(None)
        assert time.monotonic() - started < 5


def test_a_peer_that_closes_right_after_its_release_request_is_released() -> None:
    """Many do not wait for the answer: the association is over as they wished."""
    with Talk(CONTEXTS) as talk:
        talk.peer.sendall(A_RELEASE_RQ)
        talk.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        talk.conversation.cancelled(1)
        talk.peer.close()
        assert talk.conversation.receive() is None
