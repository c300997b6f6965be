"""The C-STORE sub-operations: counts that add up whatever the destination does."""

import os
import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.archive.retrieve import Retrieve, SubOperations
from pacsnode.dimse.association.command import CommandField, CommandSet, Element
from pacsnode.dimse.association.endings import ConnectionLost
from pacsnode.dimse.association.pdu import a_abort
from pacsnode.dimse.association.requestor import Caller, Remote
from pacsnode.dimse.association.sender import MoveOriginator
from pacsnode.dimse.sub_operations import InstanceSender, MoveJob, fitting, get_sub_operations
from pacsnode.errors import ObjectNotFound
from pacsnode.index.base import Located
from tests.dimse_peers import (
    SCP,
    CalledPeer,
    Script,
    accepting,
    context,
    conversation_on,
    parsed,
    read_message,
    read_to_end,
    released,
    response_message,
)
from tests.factories import CT, JPEG_LOSSLESS, MR, Parts, Sample, located

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
SAMPLES = [Sample(number) for number in range(1, 5)]
CALLER = Caller("NODE", acse_timeout_seconds=10.0, dimse_timeout_seconds=10.0)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with Parts(tmp_path) as parts:
        for sample in SAMPLES:
            parts.put(sample)
        yield parts


@pytest.fixture
def retrieve(parts: Parts) -> Retrieve:
    return Retrieve(parts.index, parts.objects)


def uids(plan: list[Located]) -> list[str]:
    return [place.sop_instance_uid for place in plan]


# What to propose


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 3)), max_size=300))
def test_a_part_fits_into_the_contexts_of_one_association(kinds: list[tuple[int, int]]) -> None:
    """Each kind has a context, and each SOP class one more: together at most 128."""
    plan = [
        replace(located(Sample(), 1), sop_class_uid=f"1.2.{sop_class}", transfer_syntax_uid=f"1.3.{syntax}")
        for sop_class, syntax in kinds
    ]
    count = fitting(plan)
    needed = len({*kinds[:count]}) + len({sop_class for sop_class, _ in kinds[:count]})
    assert needed <= 128
    assert (
        count == len(plan) or len({*kinds[: count + 1]}) + len({one for one, _ in kinds[: count + 1]}) > 128
    )
    assert count > 0 or not plan


# Over one conversation


def sender_of(script: Script, retrieve: Retrieve, counts: SubOperations, **options: object) -> InstanceSender:
    conversation = conversation_on(script, [context(3, CT, roles=SCP)])
    return InstanceSender(conversation, retrieve, counts, as_requestor=False, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "completed", "failed", "warned"),
    [
        (0x0000, 1, 0, 0),
        (0xB000, 0, 0, 1),
        (0xB007, 0, 0, 1),
        (0x0107, 0, 0, 1),
        (0xA700, 0, 1, 0),
        (0xC001, 0, 1, 0),
        (0x0110, 0, 1, 0),
        (0xFF00, 0, 1, 0),
    ],
)
def test_an_answer_is_counted_by_its_status(
    parts: Parts, retrieve: Retrieve, code: int, completed: int, failed: int, warned: int
) -> None:
    counts, script = (
        SubOperations(total=1),
        Script([response_message(CommandField.C_STORE, 1, code, context_id=3)]),
    )
    (place, *_) = parts.everything()
    sender_of(script, retrieve, counts).send(place)
    assert (counts.completed, counts.failed, counts.warned) == (completed, failed, warned)
    assert counts.failed_uids == ([place.sop_instance_uid] if failed else [])
    assert parsed(b"".join(script.sent))[0].data_set == SAMPLES[0].data_set
    assert counts.bytes_sent == len(SAMPLES[0].data_set)


def test_an_instance_in_a_syntax_that_was_not_accepted_fails_alone(parts: Parts, retrieve: Retrieve) -> None:
    counts, script = SubOperations(total=1), Script([])
    place = replace(parts.everything()[0], transfer_syntax_uid=JPEG_LOSSLESS)
    sender_of(script, retrieve, counts).send(place)
    assert (counts.failed, counts.failed_uids) == (1, [place.sop_instance_uid])
    assert script.sent == []


def test_a_damaged_or_lost_instance_fails_alone_and_is_never_sent(parts: Parts, retrieve: Retrieve) -> None:
    counts, script = SubOperations(total=2), Script([])
    first, second, *_ = parts.everything()
    for entry in parts.spool.entries():
        path = parts.spool._ready.path / entry.name
        if entry.token == first.token:
            path.write_bytes(path.read_bytes()[:-1] + b"!")
        elif entry.token == second.token:
            path.unlink()
    sender = sender_of(script, retrieve, counts)
    for place in (first, second):
        sender.send(place)
    assert counts.failed_uids == uids([first, second])
    assert script.sent == []


def test_a_lost_connection_counts_nothing_and_leaves_nothing_open(parts: Parts, retrieve: Retrieve) -> None:
    counts = SubOperations(total=1)
    place = parts.everything()[0]
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConnectionLost):
        sender_of(Script([]), retrieve, counts).send(place)
    assert counts.remaining == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_get_sends_in_order_and_tells_of_progress_between(parts: Parts, retrieve: Retrieve) -> None:
    plan, told = parts.everything(), list[int]()
    answers = [response_message(CommandField.C_STORE, number, 0, context_id=3) for number in range(1, 5)]
    script = Script(answers)
    conversation = conversation_on(script, [context(3, CT, roles=SCP)])
    counts = SubOperations(total=4)
    get_sub_operations(
        conversation,
        plan,
        retrieve=retrieve,
        counts=counts,
        is_cancelled=lambda: counts.completed == 3,
        progressed=lambda: told.append(counts.remaining),
    )
    assert told == [3, 2, 1]
    assert (counts.completed, counts.remaining) == (3, 1)
    assert [message.data_set for message in parsed(b"".join(script.sent))] == [
        s.data_set for s in SAMPLES[:3]
    ]


# To a destination


def storing(
    *statuses: int, results: dict[int, tuple[int, str]] | None = None
) -> Callable[[socket.socket], list[str]]:
    """Return a destination that accepts, answers stores with the statuses, and is released, or drops."""

    def answer(connection: socket.socket) -> list[str]:
        request = accepting(connection, results=results)
        stored = []
        for status in statuses:
            message = read_message(connection)
            command = CommandSet.decode(message.command)
            stored.append(command.text(Element.AFFECTED_SOP_INSTANCE_UID))
            if status < 0:
                return stored
            connection.sendall(
                response_message(
                    CommandField.C_STORE, command.message_id, status, context_id=message.context_id
                )
            )
        released(connection)
        assert request
        return stored

    return answer


def job_for(parts: Parts, retrieve: Retrieve, port: int, caller: Caller = CALLER) -> MoveJob:
    return MoveJob(
        parts.everything(),
        retrieve=retrieve,
        caller=caller,
        destination=Remote("WS1", "127.0.0.1", port),
        originator=MoveOriginator("CT1", 7),
        priority=1,
    )


def done(job: MoveJob) -> SubOperations:
    job.start()
    job.join(30)
    assert job.is_finished
    assert select.select([job.wake_descriptor], [], [], 10)[0], "the one who waits is woken"
    job.close()
    counts = job.counts
    assert counts.completed + counts.failed + counts.warned + counts.remaining == counts.total
    assert len(counts.failed_uids) == len(set(counts.failed_uids)) == counts.failed
    return counts


def test_everything_is_sent_over_one_association(parts: Parts, retrieve: Retrieve) -> None:
    with CalledPeer(storing(0, 0xB000, 0xA700, 0)) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert (counts.completed, counts.failed, counts.warned, counts.remaining) == (2, 1, 1, 0)
    assert counts.failed_uids == [SAMPLES[2].uid]
    assert peer.results == [[sample.uid for sample in SAMPLES]]


def test_what_is_proposed_and_who_is_named(parts: Parts, retrieve: Retrieve) -> None:
    """Per SOP class the stored syntax alone, and the uncompressed ones together (PS3.5 10.1)."""
    parts.put(Sample(1, series="1.2.826.7.1.2", sop_class=MR, transfer_syntax=JPEG_LOSSLESS))
    seen: list[object] = []

    def answer(connection: socket.socket) -> None:
        request = accepting(connection)
        seen.append([(p.abstract_syntax, p.transfer_syntaxes) for p in request.proposals])
        for number in range(1, 6):
            message = read_message(connection)
            command = CommandSet.decode(message.command)
            seen.append(
                (
                    command.text(Element.MOVE_ORIGINATOR_AE_TITLE),
                    command.us(Element.MOVE_ORIGINATOR_MESSAGE_ID),
                    command.us(Element.PRIORITY),
                )
            )
            connection.sendall(
                response_message(CommandField.C_STORE, number, 0, context_id=message.context_id)
            )
        released(connection)

    with CalledPeer(answer) as peer:
        assert done(job_for(parts, retrieve, peer.port)).completed == 5
    assert seen == [
        [
            (CT, (EXPLICIT,)),
            (MR, (JPEG_LOSSLESS,)),
            (CT, (EXPLICIT, IMPLICIT)),
            (MR, (EXPLICIT, IMPLICIT)),
        ],
        *[("CT1", 7, 1)] * 5,
    ]


def test_a_destination_that_takes_nothing_of_it_fails_all(parts: Parts, retrieve: Retrieve) -> None:
    with CalledPeer(storing(results={1: (4, EXPLICIT), 3: (0, IMPLICIT)})) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert (counts.failed, counts.completed) == (4, 0)
    assert "transfer syntax" in counts.first_failure


def test_a_destination_that_is_away_fails_all_at_once(parts: Parts, retrieve: Retrieve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    counts = done(job_for(parts, retrieve, port))
    assert counts.failed == 4
    assert "no connection" in counts.first_failure


def test_a_dropped_association_is_made_again_and_the_instance_tried_once_more(
    parts: Parts, retrieve: Retrieve
) -> None:
    with CalledPeer(storing(0, -1), storing(0, 0, 0)) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert (counts.completed, counts.failed) == (4, 0)
    assert peer.results == [[s.uid for s in SAMPLES[:2]], [s.uid for s in SAMPLES[1:]]]


def test_an_instance_that_ends_two_associations_fails_and_the_rest_goes_on(
    parts: Parts, retrieve: Retrieve
) -> None:
    with CalledPeer(storing(0, -1), storing(-1), storing(0, 0)) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert (counts.completed, counts.failed_uids) == (3, [SAMPLES[1].uid])
    assert len(peer.results) == 3


def test_each_instance_is_tried_twice_before_it_fails(parts: Parts, retrieve: Retrieve) -> None:
    """Two in a row may be poison: the one after the first has not been tried yet when that fails."""
    with CalledPeer(storing(-1), storing(-1), storing(-1), storing(0, 0, 0)) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert (counts.completed, counts.failed_uids) == (3, [SAMPLES[0].uid])
    assert [len(result) for result in peer.results if isinstance(result, list)] == [1, 1, 1, 3]


def test_a_destination_that_drops_one_association_after_the_other_is_given_up(
    parts: Parts, retrieve: Retrieve
) -> None:
    with CalledPeer(*[storing(-1)] * 20) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert counts.failed == 4
    assert len(peer.results) <= 8


def test_a_destination_that_does_not_answer_the_release_has_everything(
    parts: Parts, retrieve: Retrieve
) -> None:
    def answer(connection: socket.socket) -> None:
        accepting(connection)
        for number in range(1, 5):
            read_message(connection)
            connection.sendall(response_message(CommandField.C_STORE, number, 0, context_id=1))

    with CalledPeer(answer) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert counts.completed == 4


def test_a_cancel_stops_after_the_instance_that_is_sent(parts: Parts, retrieve: Retrieve) -> None:
    jobs: list[MoveJob] = []

    def answer(connection: socket.socket) -> None:
        accepting(connection)
        read_message(connection)
        jobs[0].cancel()
        connection.sendall(response_message(CommandField.C_STORE, 1, 0, context_id=1))
        released(connection)

    with CalledPeer(answer) as peer:
        jobs.append(job_for(parts, retrieve, peer.port))
        counts = done(jobs[0])
    assert peer.results == [None]
    assert (counts.completed, counts.remaining, counts.failed) == (1, 3, 0)


def test_a_cancel_before_the_start_sends_nothing(parts: Parts, retrieve: Retrieve) -> None:
    job = job_for(parts, retrieve, 1)
    job.cancel()
    assert done(job).remaining == 4


def test_an_unexpected_error_fails_what_is_left_and_is_logged(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(_: Located) -> None:
        raise ValueError("bug")

    monkeypatch.setattr(retrieve, "open", bug)
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.1)
    with CalledPeer(lambda connection: (accepting(connection), read_to_end(connection))[1]) as peer:
        assert done(job_for(parts, retrieve, peer.port)).failed == 4
    assert peer.results == [a_abort(0, 0)]
    (record,) = caplog.records
    assert record.exc_info is not None


def test_instances_that_go_while_they_are_sent_fail_alone(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = retrieve.open

    def gone(place: Located):
        if place.sop_instance_uid == SAMPLES[1].uid:
            raise ObjectNotFound("gone")
        return opened(place)

    monkeypatch.setattr(retrieve, "open", gone)
    with CalledPeer(storing(0, 0, 0)) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert (counts.completed, counts.failed_uids) == (3, [SAMPLES[1].uid])


def test_waking_is_taken_note_of_once(parts: Parts, retrieve: Retrieve) -> None:
    job = job_for(parts, retrieve, 1)
    os.eventfd_write(job.wake_descriptor, 3)
    job.acknowledge()
    assert not select.select([job.wake_descriptor], [], [], 0)[0]
    job.acknowledge()
    job.cancel()
    done(job)
