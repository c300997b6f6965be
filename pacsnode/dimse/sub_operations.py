"""The C-STORE sub-operations of a retrieve: how each is sent and counted, and those of a C-GET (PS3.4 C.4.3).

One failed instance never ends the operation, whatever it failed by: unreadable or lost in the store, in a transfer
syntax that was not accepted and cannot be converted, or refused by the one who gets it.
"""

import time
from collections.abc import Callable, Sequence

from pacsnode.archive.read_ahead import NOT_WANTED, Prepared, ReadAhead
from pacsnode.archive.retrieve import SubOperations
from pacsnode.dicom.syntax_names import name_of, names_of
from pacsnode.dicom.uid import is_encapsulated
from pacsnode.dimse.association.conversation import Context, Conversation
from pacsnode.dimse.association.sender import MoveOriginator, Outgoing, Sender
from pacsnode.dimse.choosing import chosen
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
        preferred: Sequence[str] = (),
    ) -> None:
        """`preferred` is the list of who gets the instances (`choosing`)."""
        self._conversation = conversation
        self._counts = counts
        self._as_requestor = as_requestor
        self._originator = originator
        self._priority = priority
        self._preferred = preferred
        self._sender = Sender(conversation)
        self._contexts: dict[str, dict[str, Context]] = {}
        self._chosen: dict[Kind, str | None] = {}

    def wanted_in(self, kind: Kind) -> str | None:
        """Return in which transfer syntax instances of a kind are to be sent here, None if they cannot be."""
        if kind not in self._chosen:
            sop_class, stored = kind
            self._chosen[kind] = chosen(stored, self._accepted(sop_class), self._preferred)
        return self._chosen[kind]

    def send(self, prepared: Prepared, ahead: ReadAhead) -> bool:
        """Send one instance and count it; return whether it was sent. Raises `AssociationOver` with nothing counted."""
        located = prepared.located
        accepted = self._accepted(located.sop_class_uid)
        wanted = self.wanted_in(kind_of(located))
        if wanted is not None and not prepared.refusal and prepared.transfer_syntax not in accepted:
            ahead.converted(prepared, wanted)  # it was read before this association was there
        if prepared.is_unconvertible:
            self._have_otherwise(prepared, ahead)
        context = accepted.get(prepared.transfer_syntax)
        if wanted is None or context is None or prepared.refusal:
            self._not_sent(prepared, tuple(accepted))
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

    def _have_otherwise(self, prepared: Prepared, ahead: ReadAhead) -> None:
        """Have an instance in another way that could not be converted as its peer's list has it, if there is one."""
        stored = prepared.located.transfer_syntax_uid
        others = [
            one for one in self._accepted(prepared.located.sop_class_uid) if one != prepared.transfer_syntax
        ]
        wanted, words = chosen(stored, others), prepared.refusal
        if wanted is None or not is_encapsulated(prepared.transfer_syntax):
            return  # what could not even be decoded
        prepared.refusal, prepared.is_unconvertible = "", False
        ahead.converted(prepared, wanted)
        if prepared.refusal:
            prepared.refusal = words

    def _accepted(self, sop_class: str) -> dict[str, Context]:
        if sop_class not in self._contexts:
            found = self._conversation.contexts_for(sop_class, as_requestor=self._as_requestor)
            self._contexts[sop_class] = found
        return self._contexts[sop_class]

    def _not_sent(self, prepared: Prepared, accepted: tuple[str, ...]) -> None:
        """Count one that cannot be sent. What the peer is told are transfer syntaxes, or what is wrong with pixels."""
        located, words = prepared.located, prepared.refusal
        comment = words if prepared.is_unconvertible else ""
        if words in ("", NOT_WANTED):
            comment = f"stored {name_of(located.transfer_syntax_uid)}, accepted {names_of(accepted)}"
            words = f"{NOT_WANTED}: {comment}"
        self._counts.fail(located.sop_instance_uid, words, comment=comment)

    def _count(self, prepared: Prepared, status: int) -> None:
        located, is_converted = prepared.located, prepared.is_converted
        if status == StorageStatus.SUCCESS:
            self._counts.complete(prepared.data_set_length, is_converted=is_converted)
        elif StorageStatus.is_warning(status):
            self._counts.warn(prepared.data_set_length, is_converted=is_converted)
        else:
            reason = f"refused with status 0x{status:04X}"
            self._counts.fail(located.sop_instance_uid, reason, prepared.data_set_length)


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
                sender.send(prepared, ahead)
            finally:
                ahead.release(prepared)
            is_due = counts.remaining > 0 and pace.is_due()
        if is_due:
            told = time.monotonic()
            pending()
