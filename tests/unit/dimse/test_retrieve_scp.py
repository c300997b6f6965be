"""C-GET and C-MOVE: statuses, counts and lists by DICOM's rules (PS3.4 C.4.2, C.4.3)."""

import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from pacsnode.access.peer import Peer
from pacsnode.access.sees import Sees
from pacsnode.archive.retrieve import Retrieve
from pacsnode.dimse import retrieve_scp as module
from pacsnode.dimse.association.command import CommandField, CommandSet, Element
from pacsnode.dimse.association.endings import AssociationOver, ConnectionLost, MessageViolation, PeerAborted
from pacsnode.dimse.association.pdu import A_RELEASE_RQ, a_abort
from pacsnode.dimse.move_job import MoveJob, Order
from pacsnode.dimse.retrieve_scp import GetSCP, MoveSCP, failed_list
from pacsnode.dimse.rules import Terms
from pacsnode.errors import PatientConflict, PermanentError, TemporaryError
from pacsnode.index.base import Located
from pacsnode.observe import RetrieveEnded
from tests.dimse_peers import (
    SCP,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    Answering,
    CalledPeer,
    Received,
    Talk,
    accepting,
    cancel_request,
    context,
    conversation_on,
    echo_request,
    elements_of,
    message,
    parsed,
    read_message,
    released,
    request_command,
    response_message,
    terms_of,
    us_of,
)
from tests.factories import CT, Heard, Parts, Sample, element, padded

SAMPLES = [Sample(number) for number in range(1, 4)]
CONTEXTS = (context(1), context(3, CT, roles=SCP), context(5, STUDY_ROOT_GET), context(7, STUDY_ROOT_MOVE))
IDENTIFIER = element(0x00080052, "CS", b"STUDY ") + element(0x0020000D, "UI", padded(SAMPLES[0].study))
REMAINING, COMPLETED = Element.NUMBER_OF_REMAINING_SUB_OPERATIONS, Element.NUMBER_OF_COMPLETED_SUB_OPERATIONS
FAILED, WARNED = Element.NUMBER_OF_FAILED_SUB_OPERATIONS, Element.NUMBER_OF_WARNING_SUB_OPERATIONS


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with Parts(tmp_path) as parts:
        for sample in SAMPLES:
            parts.put(sample)
        yield parts


@pytest.fixture
def heard() -> Heard:
    return Heard()


def get_request(identifier: bytes = IDENTIFIER, message_id: int = 7, *, priority: int = 0) -> bytes:
    command = request_command(
        CommandField.C_GET, STUDY_ROOT_GET, message_id, has_data_set=True, priority=priority
    )
    return message(5, command, identifier)


def move_request(
    destination: str = "WS1", identifier: bytes = IDENTIFIER, message_id: int = 7, *, priority: int = 0
) -> bytes:
    command = request_command(
        CommandField.C_MOVE,
        STUDY_ROOT_MOVE,
        message_id,
        has_data_set=True,
        destination=destination,
        priority=priority,
    )
    return message(7, command, identifier)


def stored(*statuses: int) -> list[bytes]:
    """Return the responses of a C-GET SCU to our sub-operations."""
    return [
        response_message(CommandField.C_STORE, number, status, context_id=3)
        for number, status in enumerate(statuses, 1)
    ]


def get_served(parts: Parts, heard: Heard, stream: bytes, answers: Sequence[bytes] = ()) -> list[Received]:
    script = Answering([stream], answers, rest=echo_request(99))
    conversation = conversation_on(script, CONTEXTS)
    received = conversation.receive()
    assert received is not None
    GetSCP(Retrieve(parts.index, parts.objects), heard).serve(conversation, received)
    following = conversation.receive()
    assert following is not None
    assert following.command.message_id == 99
    return parsed(b"".join(script.sent))


def responses(messages: list[Received], field: int) -> list[Received]:
    found = [
        message for message in messages if us_of(message.command, Element.COMMAND_FIELD) == field | 0x8000
    ]
    assert all(us_of(answer.command, Element.MESSAGE_ID_BEING_RESPONDED_TO) == 7 for answer in found)
    return found


def counts(answer: Received) -> tuple[int | None, ...]:
    return tuple(us_of(answer.command, number) for number in (REMAINING, COMPLETED, FAILED, WARNED))


def status(answer: Received) -> int | None:
    return us_of(answer.command, Element.STATUS)


def failed_uids(answer: Received) -> list[str]:
    assert answer.data_set is not None
    found = read_dataset(BytesIO(answer.data_set), is_implicit_VR=False, is_little_endian=True)
    value = found.FailedSOPInstanceUIDList
    return [value] if isinstance(value, str) else list(value)


def event_of(heard: Heard) -> RetrieveEnded:
    (event,) = heard.events
    assert isinstance(event, RetrieveEnded)
    return event


# The final status, and what goes with it


@pytest.mark.parametrize(
    ("statuses", "code", "numbers", "failed"),
    [
        ((0, 0, 0), 0x0000, (None, 3, 0, 0), None),
        ((0, 0xA700, 0), 0xB000, (None, 2, 1, 0), [1]),
        ((0, 0xB007, 0), 0xB000, (None, 2, 0, 1), None),
        ((0xB000, 0xB007, 0x0107), 0xB000, (None, 0, 0, 3), None),
        ((0xB000, 0xC000, 0xA700), 0xB000, (None, 0, 2, 1), [1, 2]),
        ((0xA700, 0xC000, 0x0110), 0xA702, (None, 0, 3, 0), [0, 1, 2]),
    ],
)
def test_the_final_status(
    parts: Parts,
    heard: Heard,
    statuses: tuple[int, ...],
    code: int,
    numbers: tuple[int | None, ...],
    failed: list[int] | None,
) -> None:
    messages = get_served(parts, heard, get_request(), stored(*statuses))
    *pending, final = responses(messages, CommandField.C_GET)
    assert status(final) == code
    assert counts(final) == numbers, "no Number of Remaining Sub-operations (PS3.4 C.4.3.1.4)"
    if failed is None:
        assert final.data_set is None
    else:
        assert failed_uids(final) == [SAMPLES[number].uid for number in failed]
    assert (Element.ERROR_COMMENT in elements_of(final.command)) == (code != 0)
    for number, answer in enumerate(pending, 1):
        assert status(answer) == 0xFF00
        assert None not in counts(answer), "Pending carries all four"
        assert sum(value or 0 for value in counts(answer)) == 3
        assert counts(answer)[0] == 3 - number
        assert answer.data_set is None
    assert len(pending) == 2, "the last sub-operation is followed by the final response"
    event = event_of(heard)
    assert (event.status, event.completed, event.failed, event.warned, event.remaining) == (
        code, numbers[1], numbers[2], numbers[3], 0,
    )  # fmt: skip
    assert (event.level, event.destination_ae_title) == ("STUDY", "")
    assert event.bytes_sent == sum(len(sample.data_set) for sample in SAMPLES)


def test_sub_operations_carry_the_stored_bytes(parts: Parts, heard: Heard) -> None:
    messages = get_served(parts, heard, get_request(), stored(0, 0, 0))
    sent = [m for m in messages if us_of(m.command, Element.COMMAND_FIELD) == CommandField.C_STORE]
    assert [m.data_set for m in sent] == [sample.data_set for sample in SAMPLES]
    assert {m.context_id for m in sent} == {3}


def test_nothing_matched_is_success_with_zeros(parts: Parts, heard: Heard) -> None:
    nothing = element(0x00080052, "CS", b"STUDY ") + element(0x0020000D, "UI", b"9.9\0")
    (final,) = get_served(parts, heard, get_request(nothing))
    assert (status(final), counts(final)) == (0x0000, (None, 0, 0, 0))


def test_a_damaged_instance_is_a_failure_and_the_rest_goes_on(parts: Parts, heard: Heard) -> None:
    (entry, *_) = parts.spool.entries()
    path = parts.spool._ready.path / entry.name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    final = responses(get_served(parts, heard, get_request(), stored(0, 0)), CommandField.C_GET)[-1]
    assert (status(final), counts(final)) == (0xB000, (None, 2, 1, 0))
    assert failed_uids(final) == [SAMPLES[0].uid]
    assert "stored" in event_of(heard).comment


@pytest.mark.parametrize(
    "identifier",
    [
        element(0x00080052, "CS", b"STUDY "),
        element(0x00080052, "CS", b"STUDY ") + element(0x0020000D, "UI", b""),
        element(0x00080052, "CS", b"STUDY ") + element(0x0020000D, "UI", b"* "),
        element(0x0020000D, "UI", b"1.2\0"),
        b"",
    ],
)
def test_without_its_unique_key_nothing_is_sent(parts: Parts, heard: Heard, identifier: bytes) -> None:
    """Never everything."""
    (final,) = get_served(parts, heard, get_request(identifier))
    assert status(final) == 0xA900
    assert 0 < len(elements_of(final.command)[Element.ERROR_COMMENT]) <= 64
    assert event_of(heard).status == 0xA900


@pytest.mark.parametrize(
    ("error", "code"),
    [(TemporaryError("x"), 0xA701), (PermanentError("x"), 0xC000), (PatientConflict("x"), 0xA900)],
)
def test_an_index_that_does_not_answer(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def failing(_: object) -> None:
        raise error

    monkeypatch.setattr(parts.index, "locate", failing)
    (final,) = get_served(parts, heard, get_request())
    assert status(final) == code


# Cancel (PS3.4 C.4.3.3.1): the sub-operation that is under way completes


def test_a_cancel_before_the_first_sub_operation(parts: Parts, heard: Heard) -> None:
    (final,) = get_served(parts, heard, get_request() + cancel_request(7, context_id=5))
    assert (status(final), counts(final)) == (0xFE00, (3, 0, 0, 0))
    assert event_of(heard).remaining == 3


def test_a_cancel_during_a_sub_operation(parts: Parts, heard: Heard) -> None:
    answers = [cancel_request(7, context_id=5) + stored(0xA700)[0]]
    final = responses(get_served(parts, heard, get_request(), answers), CommandField.C_GET)[-1]
    assert (status(final), counts(final)) == (0xFE00, (2, 0, 1, 0))
    assert failed_uids(final) == [SAMPLES[0].uid]


def test_a_cancel_that_comes_too_late_changes_nothing(parts: Parts, heard: Heard) -> None:
    answers = [*stored(0, 0), cancel_request(7, context_id=5) + stored(0, 0, 0)[2]]
    final = responses(get_served(parts, heard, get_request(), answers), CommandField.C_GET)[-1]
    assert (status(final), counts(final)) == (0x0000, (None, 3, 0, 0))


# The association ends on the way


@pytest.mark.parametrize(
    ("answers", "rest", "kind", "completed"),
    [
        ([], a_abort(0, 0), PeerAborted, 0),
        (stored(0), a_abort(0, 0), PeerAborted, 1),
        ([*stored(0, 0), echo_request(5)], b"", MessageViolation, 2),
        ([*stored(0), A_RELEASE_RQ], b"", MessageViolation, 1),
        (stored(0), A_RELEASE_RQ, MessageViolation, 1),
        (stored(0, 0), b"", ConnectionLost, 2),
    ],
)
def test_what_was_sent_before_the_end_is_heard_of(
    parts: Parts, heard: Heard, answers: list[bytes], rest: bytes, kind: type[AssociationOver], completed: int
) -> None:
    """Images have left the node: that is told, though no final response was."""
    conversation = conversation_on(Answering([get_request()], answers, rest), CONTEXTS)
    received = conversation.receive()
    assert received is not None
    with pytest.raises(kind):
        GetSCP(Retrieve(parts.index, parts.objects), heard).serve(conversation, received)
    event = event_of(heard)
    assert (event.completed, event.remaining) == (completed, 3 - completed)
    assert event.status not in (0x0000, 0xFE00)
    assert event.comment
    assert event.bytes_sent == sum(len(sample.data_set) for sample in SAMPLES[:completed])


# C-MOVE


def destination(*statuses: int):
    def answer(connection: socket.socket) -> str:
        request = accepting(connection)
        for status in statuses:
            command = CommandSet.decode(read_message(connection).command)
            connection.sendall(
                response_message(CommandField.C_STORE, command.message_id, status, context_id=1)
            )
        released(connection)
        return request.calling_ae_title

    return answer


def knowing(port: int, *more: Peer) -> Terms:
    """Return the terms of a requestor that may move to WS1 on this port."""
    return terms_of(Peer("ws", "WS1", "127.0.0.1", port), Peer("deaf", "DEAF"), *more)


def mover(parts: Parts, heard: Heard) -> MoveSCP:
    return MoveSCP(Retrieve(parts.index, parts.objects), heard)


def moved(
    parts: Parts, heard: Heard, stream: bytes, port: int = 1, terms: Terms | None = None
) -> list[Received]:
    with Talk(CONTEXTS, terms=terms or knowing(port)) as talk:
        talk.peer.sendall(stream)
        received = talk.conversation.receive()
        assert received is not None
        mover(parts, heard).serve(talk.conversation, received)
        return responses(talk.sent_by_us(), CommandField.C_MOVE)


@pytest.mark.parametrize(
    ("statuses", "code", "numbers"),
    [
        ((0, 0, 0), 0x0000, (None, 3, 0, 0)),
        ((0, 0xA700, 0xB000), 0xB000, (None, 1, 1, 1)),
        ((0xA700, 0xA700, 0xA700), 0xA702, (None, 0, 3, 0)),
    ],
)
def test_a_move_ends_with_its_counts(
    parts: Parts, heard: Heard, statuses: tuple[int, ...], code: int, numbers: tuple[int | None, ...]
) -> None:
    with CalledPeer(destination(*statuses)) as peer:
        *pending, final = moved(parts, heard, move_request(), peer.port)
    assert (status(final), counts(final)) == (code, numbers)
    assert peer.results == ["PACSNODE"], "we call as the title that was called"
    for answer in pending:
        assert status(answer) == 0xFF00
        assert None not in counts(answer)
    event = event_of(heard)
    assert (event.destination_ae_title, event.status) == ("WS1", code)


@pytest.mark.parametrize("title", ["UNKNOWN", "DEAF", "", "ws1"])
def test_an_unknown_destination_is_refused_without_calling_anybody(
    parts: Parts, heard: Heard, title: str
) -> None:
    (final,) = moved(parts, heard, move_request(title))
    assert status(final) == 0xA801
    assert event_of(heard).status == 0xA801


@pytest.mark.parametrize(
    ("allowed", "rule"),
    [
        (frozenset({"other"}), "peers.me.move_destinations = [other] does not contain ws"),
        (frozenset[str](), "peers.me.move_destinations = [] does not contain ws"),
    ],
)
def test_a_destination_that_is_not_allowed_is_told_as_an_unknown_one_and_not_called(
    parts: Parts, heard: Heard, allowed: frozenset[str], rule: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        terms = knowing(listener.getsockname()[1], Peer("me", "CT1", move_destinations=allowed))
        (final,) = moved(parts, heard, move_request(), terms=terms)
        with pytest.raises(BlockingIOError):
            listener.accept()
    (unknown,) = moved(parts, Heard(), move_request("NOBODY"))
    assert status(final) == status(unknown) == 0xA801
    comments = [elements_of(one.command)[Element.ERROR_COMMENT] for one in (final, unknown)]
    assert comments[0] == comments[1]
    event = event_of(heard)
    assert (event.status, event.comment) == (0xA801, rule)


def test_only_what_is_seen_is_sent(parts: Parts, heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    terms = terms_of(Peer("ws", "WS1", "127.0.0.1", 1), sees=())
    with caplog.at_level(logging.DEBUG, "pacsnode.dimse.query_log"):
        (final,) = moved(parts, heard, move_request(), terms=terms)
    assert "retrieve STUDY: only what this requester sees (sees)" in caplog.messages
    assert (status(final), counts(final)) == (0x0000, (None, 0, 0, 0))
    script = Answering([get_request()], [], rest=echo_request(99))
    conversation = conversation_on(script, CONTEXTS, terms=terms_of(sees=(Sees(sent_by=("MR1",)),)))
    received = conversation.receive()
    assert received is not None
    GetSCP(Retrieve(parts.index, parts.objects), heard).serve(conversation, received)
    (answer,) = responses(parsed(b"".join(script.sent)), CommandField.C_GET)
    assert (status(answer), counts(answer)) == (0x0000, (None, 0, 0, 0))


def test_a_destination_that_is_away_fails_all(parts: Parts, heard: Heard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    final = moved(parts, heard, move_request(), port)[-1]
    assert (status(final), counts(final)) == (0xA702, (None, 0, 3, 0))
    assert failed_uids(final) == [sample.uid for sample in SAMPLES]
    assert "no connection" in event_of(heard).comment


def test_a_move_without_its_unique_key(parts: Parts, heard: Heard) -> None:
    (final,) = moved(parts, heard, move_request(identifier=element(0x00080052, "CS", b"STUDY ")))
    assert status(final) == 0xA900


def test_a_move_that_is_cancelled(parts: Parts, heard: Heard) -> None:
    with Talk(CONTEXTS) as talk:
        sent = threading.Event()

        def answer(connection: socket.socket) -> None:
            accepting(connection)
            read_message(connection)
            talk.peer.sendall(cancel_request(7, context_id=7))
            sent.wait(20)
            connection.sendall(response_message(CommandField.C_STORE, 1, 0, context_id=1))
            released(connection)

        with CalledPeer(answer) as peer:
            talk.peer.sendall(move_request())
            received = talk.conversation.receive()
            assert received is not None
            scp = mover(parts, heard)
            talk.conversation._terms = knowing(peer.port)
            cancelled, conversation = talk.conversation.cancelled, talk.conversation

            def watched(message_id: int) -> bool:
                found = cancelled(message_id)
                if found:
                    sent.set()
                return found

            conversation.cancelled = watched  # type: ignore[method-assign]
            scp.serve(conversation, received)
        final = responses(talk.sent_by_us(), CommandField.C_MOVE)[-1]
    assert (status(final), counts(final)) == (0xFE00, (2, 1, 0, 0))


def test_pending_comes_on_time_though_nothing_is_sent(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A requestor's time-out runs from one response to the next."""
    monkeypatch.setattr(module, "PENDING_SECONDS", 0.05)
    with Talk(CONTEXTS) as talk:

        def answer(connection: socket.socket) -> None:
            for _ in range(3):
                first = read_message(talk.peer)
                assert (status(first), counts(first)) == (0xFF00, (3, 0, 0, 0))
            destination(0, 0, 0)(connection)

        with CalledPeer(answer) as peer:
            talk.peer.sendall(move_request())
            received = talk.conversation.receive()
            assert received is not None
            talk.conversation._terms = knowing(peer.port)
            mover(parts, heard).serve(talk.conversation, received)
        assert peer.results == [None]
        assert status(responses(talk.sent_by_us(), CommandField.C_MOVE)[-1]) == 0


def test_a_move_whose_requestor_aborts_stops_and_is_heard_of(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_cancelled, cancel = threading.Event(), MoveJob.cancel

    def cancel_and_tell(job: MoveJob) -> None:
        cancel(job)
        is_cancelled.set()

    monkeypatch.setattr(MoveJob, "cancel", cancel_and_tell)
    with Talk(CONTEXTS) as talk:

        def answer(connection: socket.socket) -> None:
            accepting(connection)
            read_message(connection)
            connection.sendall(response_message(CommandField.C_STORE, 1, 0, context_id=1))
            read_message(connection)
            talk.peer.sendall(a_abort(0, 0))
            is_cancelled.wait(20)
            connection.sendall(response_message(CommandField.C_STORE, 2, 0, context_id=1))
            released(connection)

        with CalledPeer(answer) as peer:
            talk.peer.sendall(move_request())
            received = talk.conversation.receive()
            assert received is not None
            talk.conversation._terms = knowing(peer.port)
            with pytest.raises(PeerAborted):
                mover(parts, heard).serve(talk.conversation, received)
        assert peer.results == [None]
    event = event_of(heard)
    assert (event.destination_ae_title, event.completed, event.remaining) == ("WS1", 2, 1)


# The failed list


@given(
    uids=st.lists(st.from_regex(r"1(\.[1-9][0-9]{0,8}){1,6}", fullmatch=True), min_size=1, max_size=5),
    syntax=st.sampled_from(["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"]),
)
def test_pydicom_reads_the_failed_list(uids: list[str], syntax: str) -> None:
    data = failed_list(uids, syntax)
    found = read_dataset(
        BytesIO(data),
        is_implicit_VR=syntax == "1.2.840.10008.1.2",
        is_little_endian=syntax != "1.2.840.10008.1.2.2",
    )
    value = found.FailedSOPInstanceUIDList
    assert ([value] if isinstance(value, str) else list(value)) == uids


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
@pytest.mark.parametrize("count", [1000, 1008, 1009, 70_000])
def test_pydicom_reads_a_long_failed_list(syntax: str, count: int) -> None:
    """In Explicit VR it ends with the last whole UID that fits into the 16 bit length of its VR."""
    uids = [f"1.2.826.{'1' * 50}.{number:05}" for number in range(10_000, 10_000 + count)]
    data = failed_list(uids, syntax)
    assert len(data) % 2 == 0
    is_implicit = syntax == "1.2.840.10008.1.2"
    found = read_dataset(
        BytesIO(data), is_implicit_VR=is_implicit, is_little_endian=syntax != "1.2.840.10008.1.2.2"
    )
    fitting = count if is_implicit else min(count, 65_535 // (len(uids[0]) + 1))
    assert list(found.FailedSOPInstanceUIDList) == uids[:fitting]


# Above what an unsigned short counts


def test_more_sub_operations_than_the_counts_can_say(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PS3.7 E.1: the counts are US. They stay at 65,535; the comment, the list and the event have the true ones."""
    (place, *_) = parts.everything()
    monkeypatch.setattr(parts.index, "locate", lambda _: [place] * 70_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    final = moved(parts, heard, move_request(), port)[-1]
    assert (status(final), counts(final)) == (0xA702, (None, 0, 65_535, 0))
    assert b"70000 failed" in elements_of(final.command)[Element.ERROR_COMMENT]
    assert len(failed_uids(final)) == 65_535 // (len(place.sop_instance_uid) + 1)
    assert event_of(heard).failed == 70_000


def test_pending_above_what_the_counts_can_say(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place, *_) = parts.everything()
    monkeypatch.setattr(parts.index, "locate", lambda _: [place] * 70_000)
    answers = [*stored(0, 0), cancel_request(7, context_id=5) + stored(0, 0, 0)[2]]
    *pending, final = responses(get_served(parts, heard, get_request(), answers), CommandField.C_GET)
    assert [counts(answer) for answer in pending] == [(65_535, number, 0, 0) for number in (1, 2, 3)]
    assert (status(final), counts(final)) == (0xFE00, (65_535, 3, 0, 0))
    assert event_of(heard).remaining == 69_997


def test_a_list_of_thousands_of_uids(parts: Parts, heard: Heard) -> None:
    """In Implicit VR, as the 16 bit length of UI holds a thousand."""
    others = [f"1.2.826.{'9' * 40}.{number}" for number in range(20_000)]
    asked = "\\".join([*others[:10_000], *(sample.uid for sample in SAMPLES), *others[10_000:]])
    syntax = "1.2.840.10008.1.2"
    identifier = element(0x00080018, "UI", padded(asked), syntax) + element(
        0x00080052, "CS", b"IMAGE ", syntax
    )
    request = request_command(CommandField.C_GET, STUDY_ROOT_GET, 7, has_data_set=True)
    contexts = (context(3, CT, roles=SCP), context(5, STUDY_ROOT_GET, syntax))
    script = Answering([message(5, request, identifier)], stored(0, 0, 0), rest=b"")
    conversation = conversation_on(script, contexts)
    received = conversation.receive()
    assert received is not None
    GetSCP(Retrieve(parts.index, parts.objects), heard).serve(conversation, received)
    final = responses(parsed(b"".join(script.sent)), CommandField.C_GET)[-1]
    assert (status(final), counts(final)) == (0x0000, (None, 3, 0, 0))


# How many associations, and when to stop waiting


@pytest.mark.parametrize(("max_associations", "expected"), [(0, 1), (1, 1), (3, 3), (100, 4)])
def test_a_destination_may_have_as_many_associations_as_its_configuration_says(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch, max_associations: int, expected: int
) -> None:
    orders = list[Order]()

    class Watched(MoveJob):
        def __init__(self, plan: list[Located], order: Order, **options: object) -> None:
            orders.append(order)
            super().__init__(plan, order, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "MoveJob", Watched)
    with CalledPeer(destination(0, 0, 0)) as peer:
        terms = terms_of(Peer("ws", "WS1", "127.0.0.1", peer.port, max_associations=max_associations))
        if expected > 1:
            monkeypatch.setattr(module.Lines, "take_below", lambda *_: False)
        moved(parts, heard, move_request(), terms=terms)
    assert [order.associations for order in orders] == [expected]
    assert event_of(heard).associations == 1


def test_a_cancel_does_not_wait_for_a_destination_that_hangs(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CANCEL_SECONDS", 0.05)
    monkeypatch.setattr("pacsnode.dimse.move_job._GRACE_SECONDS", 0.05)
    with Talk(CONTEXTS) as talk:

        def answer(connection: socket.socket) -> str:
            accepting(connection)
            read_message(connection)
            talk.peer.sendall(cancel_request(7, context_id=7))
            with suppress(OSError):
                connection.recv(1)
            return "cut"

        with CalledPeer(answer) as peer:
            talk.peer.sendall(move_request())
            received = talk.conversation.receive()
            assert received is not None
            talk.conversation._terms = knowing(peer.port)
            mover(parts, heard).serve(talk.conversation, received)
        assert peer.results == ["cut"]
        final = responses(talk.sent_by_us(), CommandField.C_MOVE)[-1]
    assert (status(final), counts(final)) == (0xFE00, (3, 0, 0, 0))


def test_an_unexpected_error_is_told_of_and_goes_on(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(_: object) -> None:
        raise ValueError("bug")

    monkeypatch.setattr(parts.objects, "open", bug)
    conversation = conversation_on(Answering([get_request()], []), CONTEXTS)
    received = conversation.receive()
    assert received is not None
    with pytest.raises(RuntimeError):
        GetSCP(Retrieve(parts.index, parts.objects), heard).serve(conversation, received)
    event = event_of(heard)
    assert (event.status, event.comment, event.remaining) == (0xC000, "unexpected error", 3)


def test_in_order_of_series_number_and_instance_number(parts: Parts, heard: Heard) -> None:
    """Whatever the order in which they came (agreed order of a retrieve)."""
    numbers = [(9, 2), (9, 10), (2, 3), (2, 1), (10, 1)]
    for at, (series, instance) in enumerate(numbers):
        more = ((0x00200011, "IS", f"{series:<2}".encode()), (0x00200013, "IS", f"{instance:<2}".encode()))
        parts.put(Sample(at, study="1.2.826.8", series=f"1.2.826.8.{20 - series}", more=more))
    asked = element(0x00080052, "CS", b"STUDY ") + element(0x0020000D, "UI", padded("1.2.826.8"))
    messages = get_served(parts, heard, get_request(asked), stored(*[0] * 5))
    sent = [m for m in messages if us_of(m.command, Element.COMMAND_FIELD) == CommandField.C_STORE]
    uids = [elements_of(m.command)[Element.AFFECTED_SOP_INSTANCE_UID].decode().rstrip("\0") for m in sent]
    at = [int(uid.rpartition(".")[2]) for uid in uids]
    assert [numbers[one] for one in at] == sorted(numbers)


# Priority


class Recorder:
    """Tells who was active and who gave way, by priority."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []

    @contextmanager
    def active(self, priority: int) -> Iterator[None]:
        self.said.append(("active", priority))
        yield
        self.said.append(("done", priority))

    def give_way(self, priority: int) -> None:
        self.said.append(("gives way", priority))


@pytest.mark.parametrize("is_move", [False, True])
def test_the_priority_of_a_retrieve_says_who_waits_for_whom(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch, *, is_move: bool
) -> None:
    recorder = Recorder()
    monkeypatch.setattr("pacsnode.archive.retrieve.Precedence", lambda: recorder)
    if is_move:
        with CalledPeer(destination(0, 0, 0)) as peer:
            moved(parts, heard, move_request(priority=2), peer.port)
    else:
        sent = get_served(parts, heard, get_request(priority=2), stored(0, 0, 0))
        stores = [one for one in sent if us_of(one.command, Element.COMMAND_FIELD) == CommandField.C_STORE]
        assert [us_of(one.command, Element.PRIORITY) for one in stores] == [2, 2, 2]
    assert recorder.said == [("active", 2), *[("gives way", 2)] * 3, ("done", 2)]
