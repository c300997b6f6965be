"""The C-STORE sub-operations of a retrieve: how each is sent and counted, and those of a C-GET (PS3.4 C.4.3).

One failed instance never ends the operation, whatever it failed by: unreadable or lost in the store, in a transfer
syntax that was not accepted, or refused by the one who gets it.
"""

import time
from collections.abc import Callable

from pacsnode.archive.read_ahead import NOT_WANTED, Prepared, ReadAhead
from pacsnode.archive.retrieve import SubOperations
from pacsnode.dimse.association.conversation import Context, Conversation
from pacsnode.dimse.association.sender import MoveOriginator, Outgoing, Sender
from pacsnode.dimse.pending import PENDING_SECONDS, Pace
from pacsnode.dimse.proposing import Kind, kind_of
from pacsnode.dimse.status import StorageStatus

_LOOK_SECONDS = 0.5  # how often a C-CANCEL is looked for while the store is slow


class InstanceSender:
    """Sends the instances of a retrieve over one conversation and counts what becomes of them."""

    def __init__(
        self,
        conversation: Conversation,
        counts: SubOperations,
        *,
        as_requestor: bool,
        originator: MoveOriginator | None = None,
        priority: int = 0,
    ) -> None:
        self._conversation = conversation
        self._counts = counts
        self._as_requestor = as_requestor
        self._originator = originator
        self._priority = priority
        self._sender = Sender(conversation)
        self._contexts: dict[Kind, Context | None] = {}

    def takes(self, kind: Kind) -> bool:
        """Return whether instances of this SOP class and stored transfer syntax can be sent."""
        return self._context(kind) is not None

    def send(self, prepared: Prepared) -> bool:
        """Send one instance and count it; return whether it was sent. Raises `AssociationOver` with nothing counted."""
        located = prepared.located
        context = self._context(kind_of(located))
        if context is None or prepared.refusal:
            self._counts.fail(located.sop_instance_uid, prepared.refusal or NOT_WANTED)
            return False
        outgoing = Outgoing(
            located.sop_class_uid,
            located.sop_instance_uid,
            prepared.readable,
            prepared.offset,
            prepared.head,
        )
        answer = self._sender.store(context, outgoing, originator=self._originator, priority=self._priority)
        self._count(prepared, answer.status)
        return True

    def _context(self, kind: Kind) -> Context | None:
        if kind not in self._contexts:
            self._contexts[kind] = self._conversation.context_for(*kind, as_requestor=self._as_requestor)
        return self._contexts[kind]

    def _count(self, prepared: Prepared, status: int) -> None:
        located = prepared.located
        if status == StorageStatus.SUCCESS:
            self._counts.complete(located.data_set_length)
        elif StorageStatus.is_warning(status):
            self._counts.warn(located.data_set_length)
        else:
            reason = f"refused with status 0x{status:04X}"
            self._counts.fail(located.sop_instance_uid, reason, located.data_set_length)


def get_sub_operations(
    sender: InstanceSender,
    ahead: ReadAhead,
    *,
    counts: SubOperations,
    give_way: Callable[[], None],
    is_cancelled: Callable[[], bool],
    has_heard_cancel: Callable[[], bool],
    pending: Callable[[], None],
) -> None:
    """Send what is read ahead over the C-GET's own association until done or cancelled.

    `is_cancelled` looks at what has arrived, `has_heard_cancel` only at what was read while an answer was awaited.
    `pending` is called after what was sent, and while the store keeps us waiting.
    """
    pace, told = Pace(), time.monotonic()
    if is_cancelled():
        return
    while not has_heard_cancel():
        prepared = ahead.take(_LOOK_SECONDS)
        if prepared is None:
            if ahead.is_exhausted:
                return
            is_due = time.monotonic() - told >= PENDING_SECONDS
            if is_cancelled():
                return
        else:
            give_way()
            try:
                sender.send(prepared)
            finally:
                ahead.release(prepared)
            is_due = counts.remaining > 0 and pace.is_due()
        if is_due:
            told = time.monotonic()
            pending()
