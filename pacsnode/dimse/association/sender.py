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


@dataclass(frozen=True, slots=True)
class MoveOriginator:
    """Who asked for the C-MOVE that a C-STORE belongs to (PS3.7 9.1.1.1)."""

    ae_title: str
    message_id: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An instance to send; its data set begins at `offset` of `readable`."""

    sop_class_uid: str
    sop_instance_uid: str
    readable: Readable
    offset: int


class Sender:
    """Sends instances over one conversation, by the thread that owns it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        size = conversation.framing.fragment_bytes
        self._buffer = memoryview(bytearray(max(1, _CHUNK_BYTES // size) * size))

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
        conversation, readable, offset = self._conversation, outgoing.readable, outgoing.offset
        framing, context_id = conversation.framing, context.context_id
        rest = readable.length - offset
        if framing.fits(command, rest):
            self._read(outgoing, rest, offset)
            conversation.send_parts(framing.message(context_id, command, self._buffer[:rest]))
            return
        parts = framing.message(context_id, command)
        while True:
            size = min(len(self._buffer), readable.length - offset)
            self._read(outgoing, size, offset)
            offset += size
            is_last = offset >= readable.length
            parts += framing.fragments(context_id, self._buffer[:size], kind=0, is_last=is_last)
            conversation.send_parts(parts)
            if is_last:
                return
            parts = []

    def _read(self, outgoing: Outgoing, size: int, offset: int) -> None:
        try:
            done = outgoing.readable.read_into(self._buffer[:size], offset)
        except PacsNodeError as error:
            raise AssociationOver(f"instance {outgoing.sop_instance_uid}: {error}") from error
        if done != size:
            raise AssociationOver(f"instance {outgoing.sop_instance_uid}: its file ends early")
