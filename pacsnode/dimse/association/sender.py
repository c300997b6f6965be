"""Sending stored instances (C-STORE SCU): bytes as they lie, framed from one buffer, one write a chunk.

Nothing is decoded and nothing is copied but from the file into the buffer. A chunk is whole fragments, so
that every P-DATA PDU is as long as the peer takes.
"""

from dataclasses import dataclass

from pacsnode.dimse.association.command import (
    A_DATA_SET,
    CommandField,
    CommandSet,
    Element,
    encode,
    text,
    ui,
    us,
)
from pacsnode.dimse.association.conversation import Context, Conversation
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.errors import PacsNodeError
from pacsnode.storage.base import Readable

_CHUNK_BYTES = 1 << 20
_PRIORITY_MEDIUM = 0
_NO_BYTES = memoryview(b"")


@dataclass(frozen=True, slots=True)
class MoveOriginator:
    """Who asked for the C-MOVE that a C-STORE belongs to (PS3.7 9.1.1.1)."""

    ae_title: str
    message_id: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An instance to send; its data set begins at `offset` of `readable`, and `head` are those bytes of it read before.

    Without a `readable` the head is all of it.
    """

    sop_class_uid: str
    sop_instance_uid: str
    readable: Readable | None
    offset: int
    head: memoryview = _NO_BYTES

    @property
    def length(self) -> int:
        """Length of the data set in bytes."""
        return len(self.head) if self.readable is None else self.readable.length - self.offset


class Sender:
    """Sends instances over one conversation, by the thread that owns it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._memory: memoryview | None = None

    def store(
        self,
        context: Context,
        outgoing: Outgoing,
        *,
        originator: MoveOriginator | None = None,
        priority: int = _PRIORITY_MEDIUM,
    ) -> CommandSet:
        """Send one instance and return its C-STORE-RSP; raises `AssociationOver`.

        A file that cannot be read to its end leaves a message that cannot be completed: the association is
        over.
        """
        conversation = self._conversation
        message_id = conversation.next_message_id()
        elements = [
            (Element.AFFECTED_SOP_CLASS_UID, ui(outgoing.sop_class_uid)),
            (Element.COMMAND_FIELD, us(CommandField.C_STORE)),
            (Element.MESSAGE_ID, us(message_id)),
            (Element.PRIORITY, us(priority)),
            (Element.COMMAND_DATA_SET_TYPE, us(A_DATA_SET)),
            (Element.AFFECTED_SOP_INSTANCE_UID, ui(outgoing.sop_instance_uid)),
        ]
        if originator is not None:
            elements.append((Element.MOVE_ORIGINATOR_AE_TITLE, text(originator.ae_title)))
            elements.append((Element.MOVE_ORIGINATOR_MESSAGE_ID, us(originator.message_id)))
        self._send(context, encode(elements), outgoing)
        message = conversation.response_to(message_id)
        conversation.skip_data_set()
        return message.command

    def _send(self, context: Context, command: bytes, outgoing: Outgoing) -> None:
        conversation, length = self._conversation, outgoing.length
        framing, context_id = conversation.framing, context.context_id
        if framing.fits(command, length):
            piece = self._piece(outgoing, 0)
            conversation.send_parts(framing.message(context_id, command, piece))
            return
        parts, at = framing.message(context_id, command), 0
        while True:
            piece = self._piece(outgoing, at)
            at += len(piece)
            is_last = at >= length
            parts += framing.fragments(context_id, piece, kind=0, is_last=is_last)
            conversation.send_parts(parts)
            if is_last:
                return
            parts = []

    def _piece(self, outgoing: Outgoing, at: int) -> memoryview:
        """Return bytes of the data set from `at` on: what was read before, as whole fragments, else a chunk."""
        head, length = outgoing.head, outgoing.length
        if at == 0 and len(head) == length:
            return head
        size = self._conversation.framing.fragment_bytes
        if at + size <= len(head):
            return head[at : at + (len(head) - at) // size * size]
        return self._read(outgoing, min(len(self._buffer), length - at), at)

    @property
    def _buffer(self) -> memoryview:
        if self._memory is None:  # most instances are read before and need none
            size = self._conversation.framing.fragment_bytes
            self._memory = memoryview(bytearray(max(1, _CHUNK_BYTES // size) * size))
        return self._memory

    def _read(self, outgoing: Outgoing, size: int, at: int) -> memoryview:
        assert outgoing.readable is not None
        piece = self._buffer[:size]
        try:
            done = outgoing.readable.read_into(piece, outgoing.offset + at)
        except PacsNodeError as error:
            raise AssociationOver(f"instance {outgoing.sop_instance_uid}: {error}") from error
        if done != size:
            raise AssociationOver(f"instance {outgoing.sop_instance_uid}: its file ends early")
        return piece
