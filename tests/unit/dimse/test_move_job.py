"""C-MOVE's sub-operations: counts that add up whatever the destination does, and nothing left behind."""

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacsnode.archive.retrieve import Retrieve, SubOperations
from pacsnode.dimse import move_job as module
from pacsnode.dimse.association.acse import Rejection, encode_rejection
from pacsnode.dimse.association.command import CommandField, CommandSet, Element
from pacsnode.dimse.association.pdu import a_abort
from pacsnode.dimse.association.requestor import Caller, Remote
from pacsnode.dimse.association.sender import MoveOriginator
from pacsnode.dimse.endurance import MAX_LOST, Endurance
from pacsnode.dimse.lines import Lines
from pacsnode.dimse.move_job import MoveJob, Order
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import ObjectNotFound
from pacsnode.index.base import Located
from tests.dimse_peers import (
    CalledPeer,
    accepting,
    read_message,
    read_pdu,
    read_to_end,
    released,
    response_message,
)
from tests.factories import CT, JPEG_LOSSLESS, MR, Parts, Sample

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
SAMPLES = [Sample(number) for number in range(1, 5)]
CALLER = Caller("NODE", acse_timeout_seconds=10.0, dimse_timeout_seconds=10.0)
OURS = ("move-to-", "read-ahead")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with Parts(tmp_path) as parts:
        for sample in SAMPLES:
            parts.put(sample)
        yield parts


@pytest.fixture
def retrieve(parts: Parts) -> Retrieve:
    return Retrieve(parts.index, parts.objects)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Whatever the destination does: no thread is left."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(OURS)]


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


def job_for(
    parts: Parts,
    retrieve: Retrieve,
    port: int,
    caller: Caller = CALLER,
    *,
    associations: int = 1,
    waits: tuple[float, ...] = (0.01, 0.02),
    stalled_seconds: float = 60.0,
    lines: Lines | None = None,
) -> MoveJob:
    destination, originator = Remote("WS1", "127.0.0.1", port), MoveOriginator("CT1", 7)
    return MoveJob(
        parts.everything(),
        Order(caller, destination, originator, priority=1, associations=associations),
        retrieve=retrieve,
        lines=lines or Lines(),
        endurance=Endurance(stalled_seconds=stalled_seconds, waits_seconds=waits),
    )


def finished(job: MoveJob) -> None:
    """Wait as the requestor's association does."""
    deadline = time.monotonic() + 30
    while not job.is_finished:
        assert select.select([job.wake_descriptor], [], [], max(0, deadline - time.monotonic()))[0]
        job.acknowledge()


def done(job: MoveJob) -> SubOperations:
    job.start()
    finished(job)
    job.close()
    assert job._places._open == {}
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
    with CalledPeer(storing(results={1: (4, EXPLICIT), 3: (4, IMPLICIT)})) as peer:
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
    assert len(peer.results) == MAX_LOST + 1, "before each of the four has been lost twice"


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
    assert isinstance(record.exc_info[1], RuntimeError)


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
    job.close()


# A destination that is there again


def rejecting(*, result: int, source: int, reason: int) -> Callable[[socket.socket], str]:
    def answer(connection: socket.socket) -> str:
        read_pdu(connection)
        connection.sendall(encode_rejection(Rejection(result, source, reason)))
        connection.recv(1)
        return "rejected"

    return answer


def test_one_that_rejects_for_now_is_called_again(parts: Parts, retrieve: Retrieve) -> None:
    with CalledPeer(rejecting(result=2, source=3, reason=2), storing(0, 0, 0, 0)) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert counts.completed == 4
    assert peer.results[0] == "rejected"


def test_one_that_rejects_for_good_is_not_called_again(parts: Parts, retrieve: Retrieve) -> None:
    with CalledPeer(rejecting(result=1, source=1, reason=7), storing(0, 0, 0, 0)) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert counts.failed == 4
    assert "does not answer to the AE title" in counts.first_failure
    assert peer.results == ["rejected"]


def test_one_that_always_rejects_for_now_is_given_up(parts: Parts, retrieve: Retrieve) -> None:
    with CalledPeer(*[rejecting(result=2, source=3, reason=1)] * 10) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert counts.failed == 4
    assert peer.results == ["rejected"] * 3


def test_one_that_is_away_after_it_was_there_is_called_again(parts: Parts, retrieve: Retrieve) -> None:
    with CalledPeer(storing(0, -1), rejecting(result=1, source=1, reason=1), storing(0, 0, 0)) as peer:
        counts = done(job_for(parts, retrieve, peer.port))
    assert counts.completed == 4
    assert len(peer.results) == 3


# A destination that does not move


def silent(connection: socket.socket) -> str:
    """Accept, read one instance and say nothing more."""
    accepting(connection)
    read_message(connection)
    with suppress(OSError):
        read_to_end(connection)
    return "silent"


def test_one_that_does_not_answer_is_given_up_once_nothing_moves(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.05)
    caller = Caller("NODE", acse_timeout_seconds=10.0, dimse_timeout_seconds=0.1)
    with CalledPeer(*[silent] * 6) as peer:
        counts = done(job_for(parts, retrieve, peer.port, caller, stalled_seconds=0.15))
    assert (counts.completed, counts.failed) == (0, 4)
    assert peer.results == ["silent"] * 2
    assert "within the time limit" in counts.first_failure


def test_one_that_stops_reading_loses_its_association(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.05)
    monkeypatch.setattr("pacsnode.dimse.association.conversation._WRITE_SECONDS", 0.05)
    monkeypatch.setattr("pacsnode.dimse.association.conversation._BYTES_PER_SECOND", 1e9)
    words = bytes(range(256)) * 40_000
    parts.put(
        Sample(9, words=words), store=parts.with_policy(DuplicatePolicy.KEEP_BOTH, max_data_set_bytes=1 << 30)
    )
    over, is_first = threading.Event(), threading.Lock()

    def deaf(connection: socket.socket) -> str:
        accepting(connection)
        if not is_first.acquire(blocking=False):
            over.wait(20)
            return "deaf"
        with suppress(EOFError):
            while (message := read_message(connection)).data_set != SAMPLES[3].data_set:
                command = CommandSet.decode(message.command)
                connection.sendall(
                    response_message(
                        CommandField.C_STORE, command.message_id, 0, context_id=message.context_id
                    )
                )
            connection.sendall(response_message(CommandField.C_STORE, 4, 0, context_id=message.context_id))
        over.wait(20)
        return "deaf"

    with Hall(deaf) as hall:
        counts = done(job_for(parts, retrieve, hall.port))
        over.set()
    assert (counts.completed, counts.failed) == (4, 1)
    assert hall.results == ["deaf"] * 2


# Several associations


class Hall(CalledPeer):
    """A destination that serves several associations at the same time, each by the same function."""

    def _run(self) -> None:
        (answer,) = self._answers
        self._guests: list[threading.Thread] = []
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._host, args=(connection, answer))
                self._guests.append(thread)
                thread.start()

    def _host(self, connection: socket.socket, answer: Callable[[socket.socket], object]) -> None:
        with connection:
            connection.settimeout(20.0)
            try:
                self.results.append(answer(connection))
            except (AssertionError, OSError, EOFError) as error:
                self.results.append(error)

    def __exit__(self, *arguments: object) -> None:
        super().__exit__(*arguments)
        for thread in self._guests:
            thread.join(20)
            assert not thread.is_alive()


def serving(
    status_of: Callable[[str], int], together: threading.Barrier | None = None
) -> Callable[[socket.socket], list[str]]:
    """Answer each instance by its UID until the release; a negative status drops the association."""

    def answer(connection: socket.socket) -> list[str]:
        accepting(connection)
        stored = list[str]()
        if together is not None:
            together.wait(20)
        while True:
            message = read_message(connection)
            if message.pdu_type != 4:
                connection.sendall(b"\x06\0\0\0\0\x04\0\0\0\0")
                return stored
            command = CommandSet.decode(message.command)
            uid = command.text(Element.AFFECTED_SOP_INSTANCE_UID)
            status = status_of(uid)
            if status < 0:
                return stored
            stored.append(uid)
            connection.sendall(
                response_message(
                    CommandField.C_STORE, command.message_id, status, context_id=message.context_id
                )
            )

    return answer


def test_as_many_associations_as_the_destination_may_have(parts: Parts, retrieve: Retrieve) -> None:
    for number in range(5, 60):
        parts.put(Sample(number))
    order = [place.sop_instance_uid for place in parts.everything()]
    with Hall(serving(lambda _: 0, threading.Barrier(3))) as hall:
        job = job_for(parts, retrieve, hall.port, associations=3)
        counts = done(job)
    assert (counts.completed, counts.remaining, job.associations) == (59, 0, 3)
    assert len(hall.results) == 3
    sent = [uid for stored in hall.results for uid in stored]  # type: ignore[attr-defined]
    assert sorted(sent) == sorted(order)
    for stored in hall.results:
        assert isinstance(stored, list)
        assert stored == sorted(stored, key=order.index), "each association sends in order"
        assert stored


def test_there_are_no_more_associations_than_instances(parts: Parts, retrieve: Retrieve) -> None:
    with Hall(serving(lambda _: 0)) as hall:
        job = job_for(parts, retrieve, hall.port, associations=50)
        assert done(job).completed == 4
    assert len(hall.results) <= 4


def test_other_moves_to_the_destination_count(parts: Parts, retrieve: Retrieve) -> None:
    with Hall(serving(lambda _: 0)) as hall:
        lines = Lines()
        destination = Remote("WS1", "127.0.0.1", hall.port)
        for _ in range(3):
            lines.take(destination)
        job = job_for(parts, retrieve, hall.port, associations=3, lines=lines)
        job.start()
        finished(job)
        job.close()
    assert (job.counts.completed, job.associations) == (4, 1)
    assert lines._open == {destination: 3}


def test_a_further_association_that_is_not_accepted_is_done_without(parts: Parts, retrieve: Retrieve) -> None:
    lock, first = threading.Lock(), [True]

    def answer(connection: socket.socket) -> object:
        with lock:
            is_first, first[0] = first[0], False
        if is_first:
            return serving(lambda _: 0)(connection)
        return rejecting(result=2, source=3, reason=2)(connection)

    with Hall(answer) as hall:
        counts = done(job_for(parts, retrieve, hall.port, associations=3))
    assert counts.completed == 4


def test_a_cancel_ends_all_associations(parts: Parts, retrieve: Retrieve) -> None:
    for number in range(5, 40):
        parts.put(Sample(number))
    jobs, both = list[MoveJob](), threading.Barrier(2)

    def answer(uid: str) -> int:
        both.wait(20)
        jobs[0].cancel()
        return 0

    with Hall(serving(answer)) as hall:
        jobs.append(job_for(parts, retrieve, hall.port, associations=2))
        counts = done(jobs[0])
    assert (counts.completed, counts.failed, counts.remaining) == (2, 0, 37)


@settings(max_examples=30)
@given(
    fates=st.lists(
        st.sampled_from(["store", "store", "warn", "refuse", "drop once", "drop", "damaged"]), max_size=12
    ),
    associations=st.integers(1, 3),
)
def test_counts_add_up_whatever_happens_to_whom(
    tmp_path_factory: pytest.TempPathFactory, fates: list[str], associations: int
) -> None:
    """A destination that drops, warns and refuses, and a store that has lost some: each instance counts once."""
    with Parts(tmp_path_factory.mktemp("parts")) as parts:
        samples = [Sample(number) for number in range(1, len(fates) + 1)]
        fate = dict(zip((sample.uid for sample in samples), fates, strict=True))
        for sample in samples:
            parts.put(sample)
        for place in parts.everything():
            if fate[place.sop_instance_uid] == "damaged":
                (entry,) = (one for one in parts.spool.entries() if one.token == place.token)
                path = parts.spool._ready.path / entry.name
                path.write_bytes(path.read_bytes()[:-1] + b"!")
        lock = threading.Lock()

        def status_of(uid: str) -> int:
            with lock:
                found = fate[uid]
                if found == "drop once":
                    fate[uid] = "store"
            return {"store": 0, "warn": 0xB007, "refuse": 0xA700, "drop once": -1, "drop": -1}[found]

        with Hall(serving(status_of)) as hall:
            counts = done(
                job_for(parts, Retrieve(parts.index, parts.objects), hall.port, associations=associations)
            )
        assert counts.remaining == 0
        assert counts.failed >= sum(one in ("refuse", "drop", "damaged") for one in fates)
        if fates.count("drop") + fates.count("drop once") <= 2:
            failed = {
                sample.uid
                for sample, one in zip(samples, fates, strict=True)
                if one in ("refuse", "drop", "damaged")
            }
            assert set(counts.failed_uids) == failed
            assert counts.warned == fates.count("warn")


# It ends


def test_no_descriptor_is_left(parts: Parts, retrieve: Retrieve) -> None:
    def open_now() -> int:
        with Hall(serving(lambda uid: -1 if uid == SAMPLES[1].uid else 0)) as hall:
            assert done(job_for(parts, retrieve, hall.port, associations=2)).failed == 1
        return len(os.listdir("/proc/self/fd"))

    open_now()
    assert len({open_now() for _ in range(3)}) == 1


def test_a_line_that_hangs_is_cut_after_the_grace(parts: Parts, retrieve: Retrieve) -> None:
    read = threading.Event()

    def hanging(connection: socket.socket) -> str:
        accepting(connection)
        read_message(connection)
        read.set()
        with suppress(OSError):
            read_to_end(connection)
        return "cut"

    with CalledPeer(hanging) as peer:
        job = job_for(parts, retrieve, peer.port)
        job.start()
        assert read.wait(20)
        started = time.monotonic()
        job.close(grace_seconds=0.05)
        assert time.monotonic() - started < 5
    assert peer.results == ["cut"]
    assert job.is_finished
    assert (job.counts.remaining, job.counts.failed) == (4, 0), "a cancelled one has not failed"


def test_the_requestor_is_woken_no_more_often_than_the_pace_allows(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Pace, "is_due", lambda _: False)
    with CalledPeer(storing(0, 0, 0, 0)) as peer:
        job = job_for(parts, retrieve, peer.port)
        job.start()
        assert select.select([job.wake_descriptor], [], [], 20)[0]
        assert job.is_finished, "the end, and nothing before it"
        assert os.eventfd_read(job.wake_descriptor) == 1
        job.close()
    assert job.counts.completed == 4


def test_an_empty_plan_is_finished_at_once(retrieve: Retrieve) -> None:
    order = Order(CALLER, Remote("WS1", "127.0.0.1", 1), MoveOriginator("CT1", 7))
    job = MoveJob([], order, retrieve=retrieve, lines=Lines(), endurance=Endurance(stalled_seconds=60.0))
    job.start()
    assert job.is_finished
    job.close()


def test_without_a_thread_everything_fails(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module._Line, "start", start)
    job = job_for(parts, retrieve, 1)
    job.start()
    assert job.is_finished
    assert job.counts.failed == 4
    job.close()


def test_what_is_refused_by_the_association_is_not_read(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = list[str]()
    really = retrieve.open

    def watched(place: Located):
        opened.append(place.sop_instance_uid)
        return really(place)

    monkeypatch.setattr(retrieve, "open", watched)
    with CalledPeer(storing(results={1: (4, EXPLICIT), 3: (4, IMPLICIT)})) as peer:
        assert done(job_for(parts, retrieve, peer.port)).failed == 4
    assert opened == []


def test_more_kinds_than_contexts_go_over_several_associations(parts: Parts, retrieve: Retrieve) -> None:
    for number in range(150):
        parts.put(Sample(1, series=f"1.2.826.7.2.{number}", sop_class=f"1.2.826.9.{number}"))
    with Hall(serving(lambda _: 0)) as hall:
        job = job_for(parts, retrieve, hall.port)
        counts = done(job)
    assert (counts.completed, job.associations) == (154, 3)
