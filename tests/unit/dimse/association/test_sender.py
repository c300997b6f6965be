"""Sending stored instances: their bytes as they lie, framed for the peer."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dimse.association import sender as module
from pacsnode.dimse.association.command import CommandField, CommandSet, Element
from pacsnode.dimse.association.endings import AssociationOver, ConnectionLost, DeadlinePassed
from pacsnode.dimse.association.sender import MoveOriginator, Outgoing, Sender
from pacsnode.dimse.rules import Timeouts
from pacsnode.errors import DamagedObject
from pacsnode.storage.memory import BytesReadable
from tests.dimse_peers import (
    Received,
    Script,
    Talk,
    context,
    conversation_on,
    elements_of,
    parsed,
    read_message,
    response_message,
    us_of,
)
from tests.factories import CT

CONTEXT = context(3, CT)
UID = "1.2.826.7.1"


def outgoing(data: bytes, meta: bytes = b"meta") -> Outgoing:
    return Outgoing(CT, UID, BytesReadable(meta + data), len(meta))


def sent(script: Script) -> Received:
    (message,) = parsed(b"".join(script.sent))
    return message


@given(
    data=st.binary(max_size=4000),
    meta=st.binary(max_size=300),
    chunk_bytes=st.integers(1, 3000),
    peer_max_pdu_bytes=st.one_of(st.just(0), st.integers(8, 3000)),
)
def test_the_data_set_arrives_as_it_lies(
    data: bytes, meta: bytes, chunk_bytes: int, peer_max_pdu_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_BYTES", chunk_bytes)
        script = Script([response_message(CommandField.C_STORE, 1, 0xB007, context_id=3)])
        conversation = conversation_on(script, [CONTEXT], peer_max_pdu_bytes=peer_max_pdu_bytes)
        answer = Sender(conversation).store(CONTEXT, outgoing(data, meta))
    assert answer.status == 0xB007
    message = sent(script)
    assert message.context_id == 3
    assert message.data_set == data
    if peer_max_pdu_bytes:
        assert max(message.pdu_lengths) <= peer_max_pdu_bytes
        longest = conversation.framing.fragment_bytes
        of_data = [length - 6 for length in message.pdu_lengths[-max(1, -(-len(data) // longest)) :]]
        assert set(of_data[:-1]) <= {longest}, "every PDU is as long as the peer takes"


@given(
    data=st.binary(max_size=4000).filter(lambda data: len(data) % 2 == 0),
    held=st.integers(0, 5000),
    chunk_bytes=st.integers(1, 3000),
    peer_max_pdu_bytes=st.one_of(st.just(0), st.integers(8, 3000)),
)
def test_what_was_read_before_is_not_read_again(
    data: bytes, held: int, chunk_bytes: int, peer_max_pdu_bytes: int
) -> None:
    class Watched(BytesReadable):
        read = 0

        def read_into(self, buffer: memoryview, offset: int) -> int:
            self.read += len(buffer)
            return super().read_into(buffer, offset)

    readable, head = Watched(b"meta" + data), memoryview(data[:held])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_BYTES", chunk_bytes)
        script = Script([response_message(CommandField.C_STORE, 1, 0, context_id=3)])
        conversation = conversation_on(script, [CONTEXT], peer_max_pdu_bytes=peer_max_pdu_bytes)
        sender = Sender(conversation)
        sender.store(CONTEXT, Outgoing(CT, UID, readable if held < len(data) else None, 4, head))
    message = sent(script)
    assert message.data_set == data
    whole = conversation.framing.fragment_bytes
    if held >= len(data):
        assert readable.read == 0
    elif held >= whole and len(data) > whole:
        assert readable.read == len(data) - held // whole * whole
    if peer_max_pdu_bytes:
        assert max(message.pdu_lengths) <= peer_max_pdu_bytes


def test_the_command_set_of_a_store() -> None:
    script = Script([response_message(CommandField.C_STORE, number, 0, context_id=3) for number in (1, 2)])
    sender = Sender(conversation_on(script, [CONTEXT]))
    sender.store(CONTEXT, outgoing(b"1"))
    sender.store(CONTEXT, outgoing(b"2"), originator=MoveOriginator("WS1", 77), priority=1)
    plain, moved = parsed(b"".join(script.sent))
    found = CommandSet.decode(plain.command)
    assert found.field == CommandField.C_STORE
    assert found.message_id == 1
    assert found.has_data_set
    assert found.text(Element.AFFECTED_SOP_CLASS_UID) == CT
    assert found.text(Element.AFFECTED_SOP_INSTANCE_UID) == UID
    assert found.us(Element.PRIORITY) == 0
    assert Element.MOVE_ORIGINATOR_AE_TITLE not in elements_of(plain.command)
    assert us_of(moved.command, Element.MESSAGE_ID) == 2
    assert us_of(moved.command, Element.PRIORITY) == 1
    assert elements_of(moved.command)[Element.MOVE_ORIGINATOR_AE_TITLE] == b"WS1 "
    assert us_of(moved.command, Element.MOVE_ORIGINATOR_MESSAGE_ID) == 77
    for message in (plain, moved):
        assert list(elements_of(message.command)) == sorted(elements_of(message.command))


def test_a_response_with_a_data_set_does_not_disturb_the_next() -> None:
    script = Script(
        [
            response_message(CommandField.C_STORE, 1, 0, context_id=3, data_set=b"why ever"),
            response_message(CommandField.C_STORE, 2, 0xA700, context_id=3),
        ]
    )
    sender = Sender(conversation_on(script, [CONTEXT]))
    assert [sender.store(CONTEXT, outgoing(b"x")).status for _ in range(2)] == [0, 0xA700]


class Ending(BytesReadable):
    """A file that says more than it has."""

    def __init__(self, data: bytes, length: int) -> None:
        super().__init__(data)
        self.length = length


class Failing(BytesReadable):
    def read_into(self, buffer: memoryview, offset: int) -> int:
        raise DamagedObject("a stored file cannot be read")


@pytest.mark.parametrize("readable", [Ending(b"half", 1000), Failing(b"x" * 100)])
def test_a_file_that_cannot_be_read_to_its_end_ends_the_association(readable: BytesReadable) -> None:
    """The message cannot be completed, and nothing else may be sent in its place."""
    sender = Sender(conversation_on(Script([]), [CONTEXT]))
    with pytest.raises(AssociationOver, match=UID):
        sender.store(CONTEXT, Outgoing(CT, UID, readable, 0))


def test_a_peer_that_is_gone() -> None:
    sender = Sender(conversation_on(Script([]), [CONTEXT]))
    with pytest.raises(ConnectionLost):
        sender.store(CONTEXT, outgoing(b"x"))


@pytest.fixture
def talk() -> Iterator[Talk]:
    with Talk([CONTEXT], timeouts=Timeouts(acse=0.1, dimse=0.1, network=0.1)) as talk:
        yield talk


def test_a_peer_that_does_not_answer(talk: Talk) -> None:
    with pytest.raises(DeadlinePassed):
        Sender(talk.conversation).store(CONTEXT, outgoing(b"x"))


def test_a_large_instance_over_a_real_connection() -> None:
    data = bytes(range(256)) * 20_000
    with Talk([CONTEXT]) as talk:
        statuses: list[int] = []
        sending = threading.Thread(
            target=lambda: statuses.append(Sender(talk.conversation).store(CONTEXT, outgoing(data)).status)
        )
        sending.start()
        message = read_message(talk.peer)
        talk.peer.sendall(response_message(CommandField.C_STORE, 1, 0, context_id=3))
        sending.join(20)
    assert message.data_set == data
    assert statuses == [0]
