"""The C-STORE sub-operations over one conversation: each is counted once, whatever becomes of it."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pacsnode.archive.read_ahead import Prepared, ReadAhead
from pacsnode.archive.retrieve import Retrieve, SubOperations
from pacsnode.dimse import sub_operations as module
from pacsnode.dimse.association.command import CommandField
from pacsnode.dimse.association.endings import ConnectionLost
from pacsnode.dimse.sub_operations import InstanceSender, get_sub_operations
from pacsnode.errors import CannotConvert
from pacsnode.index.base import Located
from pacsnode.storage.base import Readable
from pacsnode.storage.memory import BytesReadable
from tests.dimse_peers import SCP, Script, context, conversation_on, parsed, response_message
from tests.factories import CT, Parts, Sample

MPEG = "1.2.840.10008.1.2.4.100"  # nothing is made of it
IMPLICIT = "1.2.840.10008.1.2"
JPEG_LS = "1.2.840.10008.1.2.4.80"
SAMPLES = [Sample(number) for number in range(1, 5)]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with Parts(tmp_path) as parts:
        for sample in SAMPLES:
            parts.put(sample)
        yield parts


@pytest.fixture
def retrieve(parts: Parts) -> Retrieve:
    return Retrieve(parts.index, parts.objects)


def prepared(retrieve: Retrieve, place: Located) -> tuple[Prepared, ReadAhead]:
    """Return an instance that was read ahead."""
    ahead = retrieve.read_ahead([place])
    taken = ahead.take(20)
    assert taken is not None
    ahead.close()
    return taken, ahead


def sender_of(script: Script, counts: SubOperations) -> InstanceSender:
    return InstanceSender(conversation_on(script, [context(3, CT, roles=SCP)]), counts, as_requestor=False)


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
    counts = SubOperations(total=1)
    script = Script([response_message(CommandField.C_STORE, 1, code, context_id=3)])
    (place, *_) = parts.everything()
    assert sender_of(script, counts).send(*prepared(retrieve, place))
    assert (counts.completed, counts.failed, counts.warned) == (completed, failed, warned)
    assert counts.failed_uids == ([place.sop_instance_uid] if failed else [])
    assert parsed(b"".join(script.sent))[0].data_set == SAMPLES[0].data_set
    assert counts.bytes_sent == len(SAMPLES[0].data_set)


def test_an_instance_in_a_syntax_that_was_not_accepted_fails_alone(parts: Parts, retrieve: Retrieve) -> None:
    counts, script = SubOperations(total=1), Script([])
    place = replace(parts.everything()[0], transfer_syntax_uid=MPEG)
    sender = sender_of(script, counts)
    assert sender.wanted_in((CT, MPEG)) is None
    assert not sender.send(*prepared(retrieve, place))
    assert (counts.failed, counts.failed_uids) == (1, [place.sop_instance_uid])
    assert counts.first_comment == f"stored {MPEG}, accepted explicit"
    assert counts.first_comment in counts.first_failure
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
    sender = sender_of(script, counts)
    for place in (first, second):
        assert not sender.send(*prepared(retrieve, place))
    assert counts.failed_uids == [first.sop_instance_uid, second.sop_instance_uid]
    assert script.sent == []


def test_a_lost_connection_counts_nothing(parts: Parts, retrieve: Retrieve) -> None:
    counts = SubOperations(total=1)
    with pytest.raises(ConnectionLost):
        sender_of(Script([]), counts).send(*prepared(retrieve, parts.everything()[0]))
    assert counts.remaining == 1


def converting(parts: Parts, refusal: str = "") -> Retrieve:
    """Return a retrieve whose converted data sets are three bytes, or cannot be had."""

    def convert(*_: object) -> BytesReadable:
        if refusal:
            raise CannotConvert(refusal)
        return BytesReadable(b"abc")

    return Retrieve(parts.index, parts.objects, convert=convert)


def test_an_instance_is_converted_for_who_does_not_take_it_as_it_is(parts: Parts) -> None:
    counts = SubOperations(total=1)
    script = Script([response_message(CommandField.C_STORE, 1, 0, context_id=3)])
    conversation = conversation_on(script, [context(3, CT, IMPLICIT, roles=SCP)])
    sender = InstanceSender(conversation, counts, as_requestor=False)
    assert sender.send(*prepared(converting(parts), parts.everything()[0]))
    assert parsed(b"".join(script.sent))[0].data_set == b"abc"
    assert (counts.completed, counts.converted, counts.bytes_sent) == (1, 1, 3)


def test_one_that_cannot_be_converted_fails_and_the_peer_is_told_why(parts: Parts) -> None:
    counts, script = SubOperations(total=1), Script([])
    conversation = conversation_on(script, [context(3, CT, IMPLICIT, roles=SCP)])
    sender = InstanceSender(conversation, counts, as_requestor=False)
    assert not sender.send(*prepared(converting(parts, "frame 2 ends early"), parts.everything()[0]))
    assert (counts.failed, counts.converted) == (1, 0)
    assert counts.first_comment == "frame 2 ends early"
    assert counts.first_comment in counts.first_failure


def test_what_cannot_be_had_as_a_list_says_is_had_otherwise(parts: Parts) -> None:
    """An image of 32 bits has no JPEG-LS: its peer takes Implicit VR too."""
    wanted = list[str]()

    def convert(_: Readable, __: int, ___: str, syntax: str, ____: object) -> Readable:
        wanted.append(syntax)
        if syntax == JPEG_LS:
            raise CannotConvert("an image with Bits Allocated 32 is not compressed")
        return BytesReadable(b"abc")

    counts = SubOperations(total=1)
    script = Script([response_message(CommandField.C_STORE, 1, 0, context_id=5)])
    contexts = [context(3, CT, JPEG_LS, roles=SCP), context(5, CT, IMPLICIT, roles=SCP)]
    conversation = conversation_on(script, contexts)
    sender = InstanceSender(conversation, counts, as_requestor=False, preferred=(JPEG_LS,))
    retrieve = Retrieve(parts.index, parts.objects, convert=convert)
    place = parts.everything()[0]
    ahead = retrieve.read_ahead([place], wanted_in=lambda _: JPEG_LS)
    taken = ahead.take(20)
    assert taken is not None
    assert sender.send(taken, ahead)
    assert (wanted, counts.completed, counts.converted) == ([JPEG_LS, IMPLICIT], 1, 1)
    ahead.release(taken)
    ahead.close()


def test_what_cannot_even_be_decoded_is_not_tried_again(parts: Parts) -> None:
    wanted = list[str]()

    def convert(_: Readable, __: int, ___: str, syntax: str, ____: object) -> Readable:
        wanted.append(syntax)
        raise CannotConvert("a frame is damaged")

    counts, script = SubOperations(total=1), Script([])
    contexts = [context(3, CT, IMPLICIT, roles=SCP), context(5, CT, JPEG_LS, roles=SCP)]
    sender = InstanceSender(conversation_on(script, contexts), counts, as_requestor=False)
    place = replace(parts.everything()[0], transfer_syntax_uid="1.2.840.10008.1.2.4.70")
    retrieve = Retrieve(parts.index, parts.objects, convert=convert)
    ahead = retrieve.read_ahead([place], wanted_in=lambda _: IMPLICIT)
    taken = ahead.take(20)
    assert taken is not None
    assert not sender.send(taken, ahead)
    assert (wanted, counts.first_comment) == ([IMPLICIT], "a frame is damaged")
    ahead.release(taken)
    ahead.close()


# Over the association of a C-GET


class Getting:
    """A C-GET's sub-operations, and what was asked of the association meanwhile."""

    def __init__(self, retrieve: Retrieve, plan: list[Located], answers: list[bytes]) -> None:
        self.counts = SubOperations(total=len(plan))
        self.script = Script(answers)
        self.ahead = retrieve.read_ahead(plan)
        self.told: list[int] = []
        self.ways_given = 0
        self.cancel_after = len(plan) + 1

    def run(self) -> None:
        try:
            get_sub_operations(
                sender_of(self.script, self.counts),
                self.ahead,
                counts=self.counts,
                give_way=self._give_way,
                is_cancelled=self.is_cancelled,
                has_heard_cancel=self.is_cancelled,
                pending=self.pending,
            )
        finally:
            self.ahead.close()

    def _give_way(self) -> None:
        self.ways_given += 1

    def is_cancelled(self) -> bool:
        return self.counts.completed >= self.cancel_after

    def pending(self) -> None:
        self.told.append(self.counts.remaining)


def answers(count: int) -> list[bytes]:
    return [response_message(CommandField.C_STORE, number, 0, context_id=3) for number in range(1, count + 1)]


def test_get_sends_in_order_and_tells_of_progress_between(parts: Parts, retrieve: Retrieve) -> None:
    getting = Getting(retrieve, parts.everything(), answers(4))
    getting.run()
    assert getting.told == [3, 2, 1], "the final response comes after the last one"
    assert getting.ways_given == 4
    assert [message.data_set for message in parsed(b"".join(getting.script.sent))] == [
        s.data_set for s in SAMPLES
    ]


def test_get_tells_of_progress_no_more_often_than_the_pace_allows(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Pace, "is_due", lambda _: False)
    getting = Getting(retrieve, parts.everything(), answers(4))
    getting.run()
    assert getting.told == []
    assert getting.counts.completed == 4


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_cancelled_get_stops(parts: Parts, retrieve: Retrieve, after: int) -> None:
    getting = Getting(retrieve, parts.everything(), answers(4))
    getting.cancel_after = after
    getting.run()
    assert (getting.counts.completed, getting.counts.remaining) == (after, 4 - after)


def test_get_tells_that_it_is_there_while_the_store_is_slow(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pending comes on time although nothing was sent, so that the requestor's time-out does not strike."""
    for name in ("PENDING_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(module, name, 0.01)
    opened, goes_on = retrieve.open, threading.Event()

    def slow(place: Located):
        assert goes_on.wait(20)
        return opened(place)

    monkeypatch.setattr(retrieve, "open", slow)
    getting = Getting(retrieve, parts.everything(), answers(4))

    def pending() -> None:
        getting.told.append(getting.counts.remaining)
        if len(getting.told) == 3:
            goes_on.set()

    getting.pending = pending  # type: ignore[method-assign]
    getting.run()
    assert getting.told[:3] == [4, 4, 4]
    assert getting.counts.completed == 4


def test_a_cancel_is_heard_while_the_store_hangs(
    parts: Parts, retrieve: Retrieve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    goes_on, opened, asked = threading.Event(), retrieve.open, iter([False, False, False, True])

    def hanging(place: Located):
        goes_on.wait(20)
        return opened(place)

    monkeypatch.setattr(retrieve, "open", hanging)
    getting = Getting(retrieve, parts.everything(), [])

    def is_cancelled() -> bool:
        found = next(asked)
        if found:
            goes_on.set()
        return found

    getting.is_cancelled = is_cancelled  # type: ignore[method-assign]
    getting.run()
    assert getting.counts.remaining == 4
    assert getting.script.sent == []


def test_a_get_whose_peer_is_gone_leaves_nothing_open(parts: Parts, retrieve: Retrieve) -> None:
    before = len(os.listdir("/proc/self/fd"))
    getting = Getting(retrieve, parts.everything(), answers(2))
    with pytest.raises(ConnectionLost):
        getting.run()
    assert (getting.counts.completed, getting.counts.remaining) == (2, 2)
    assert len(os.listdir("/proc/self/fd")) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]
