"""The C-STORE sub-operations of a retrieve: over the same association (C-GET) or to a destination (C-MOVE).

One failed instance never ends the operation. A destination that drops the association is called again: the
instance with which it ended is tried once more, then counted as failed, and the rest goes on. A destination
that cannot be reached, or drops one association after the other, fails what is left.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from itertools import islice

from pacsnode.archive.retrieve import Retrieve, SubOperations
from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dimse.association.conversation import Conversation
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.dimse.association.requestor import MAX_CONTEXTS, Caller, Remote, associate
from pacsnode.dimse.association.sender import MoveOriginator, Outgoing, Sender
from pacsnode.dimse.status import StorageStatus
from pacsnode.errors import NetworkError, PacsNodeError
from pacsnode.index.base import Located

log = logging.getLogger(__name__)

_UNCOMPRESSED = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_MAX_ASSOCIATIONS_LOST = 5  # in a row, without an instance delivered between them


class InstanceSender:
    """Sends the instances of a retrieve over one conversation and counts what becomes of them."""

    def __init__(
        self,
        conversation: Conversation,
        retrieve: Retrieve,
        counts: SubOperations,
        *,
        as_requestor: bool,
        originator: MoveOriginator | None = None,
        priority: int = 0,
    ) -> None:
        self._conversation = conversation
        self._retrieve = retrieve
        self._counts = counts
        self._as_requestor = as_requestor
        self._originator = originator
        self._priority = priority
        self._sender = Sender(conversation)

    def send(self, located: Located) -> None:
        """Send one instance and count it; raises `AssociationOver` with nothing counted."""
        context = self._conversation.context_for(
            located.sop_class_uid, located.transfer_syntax_uid, as_requestor=self._as_requestor
        )
        if context is None:
            self._counts.fail(located.sop_instance_uid, "stored transfer syntax was not accepted")
            return
        try:
            readable = self._retrieve.open(located)
        except PacsNodeError as error:
            self._counts.fail(located.sop_instance_uid, str(error))
            return
        try:
            offset = located.file_length - located.data_set_length
            outgoing = Outgoing(located.sop_class_uid, located.sop_instance_uid, readable, offset)
            answer = self._sender.store(
                context, outgoing, originator=self._originator, priority=self._priority
            )
        finally:
            readable.close()
        self._counts.bytes_sent += located.data_set_length
        self._count(located, answer.status)

    def _count(self, located: Located, status: int) -> None:
        if status == StorageStatus.SUCCESS:
            self._counts.complete()
        elif StorageStatus.is_warning(status):
            self._counts.warn()
        else:
            self._counts.fail(located.sop_instance_uid, f"refused with status 0x{status:04X}")


class MoveJob(threading.Thread):
    """Sends a plan to a destination in its own thread, so that the requestor's association stays attended.

    `wake_descriptor` becomes readable when something changed; `counts` may be read at any time, and is final
    once `is_finished`.
    """

    def __init__(
        self,
        plan: Iterable[Located],
        *,
        retrieve: Retrieve,
        caller: Caller,
        destination: Remote,
        originator: MoveOriginator,
        priority: int,
    ) -> None:
        super().__init__(name=f"move-to-{destination.ae_title}", daemon=True)
        self._rest = deque(plan)
        self.counts = SubOperations(total=len(self._rest))
        self.wake_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.is_finished = False
        self._retrieve = retrieve
        self._caller = caller
        self._destination = destination
        self._originator = originator
        self._priority = priority
        self._is_cancelled = threading.Event()
        self._context = copy_context()  # the requestor's association is on this thread's log lines too

    def cancel(self) -> None:
        """Stop after the instance that is being sent."""
        self._is_cancelled.set()

    def close(self) -> None:
        """Stop, wait for the current instance within its time limits, and let go of the descriptor."""
        self.cancel()
        self.join()
        os.close(self.wake_descriptor)

    def acknowledge(self) -> None:
        """Make the wake descriptor unreadable until the next change."""
        try:
            os.eventfd_read(self.wake_descriptor)
        except BlockingIOError:
            return

    def run(self) -> None:
        """Send everything; what could not be sent, for whatever reason, is counted as failed."""
        self._context.run(self._run)

    def _run(self) -> None:
        reason = "not sent"
        try:
            reason = self._send_all()
        except Exception:  # the named boundary of a retrieve's own thread
            log.exception("move to %s: unexpected error, what is left fails", self._destination.ae_title)
        finally:
            if not self._is_cancelled.is_set():
                for located in self._rest:
                    self.counts.fail(located.sop_instance_uid, reason)
            self.is_finished = True
            os.eventfd_write(self.wake_descriptor, 1)

    def _send_all(self) -> str:
        """Send until done, stopped, or the destination is given up; return why it was."""
        suspect, lost = None, 0
        while self._rest and not self._is_cancelled.is_set():
            remaining = len(self._rest)
            try:
                self._send_over_one_association()
            except AssociationOver as over:
                lost = lost + 1 if len(self._rest) == remaining else 1
                if lost > _MAX_ASSOCIATIONS_LOST:
                    return str(over)
                if self._rest[0] is suspect:  # the second association that ended with this instance
                    self.counts.fail(self._rest.popleft().sop_instance_uid, str(over))
                    suspect = None
                else:
                    suspect = self._rest[0]
            except NetworkError as error:
                return str(error)
        return ""

    def _send_over_one_association(self) -> None:
        """Send as much of the rest as one association's contexts allow; raises `NetworkError`."""
        count = fitting(self._rest)
        conversation = associate(self._caller, self._destination, _contexts(islice(self._rest, count)))
        sender = InstanceSender(
            conversation,
            self._retrieve,
            self.counts,
            as_requestor=True,
            originator=self._originator,
            priority=self._priority,
        )
        is_delivered = False
        try:
            for _ in range(count):
                if self._is_cancelled.is_set():
                    break
                sender.send(self._rest[0])
                self._rest.popleft()
                os.eventfd_write(self.wake_descriptor, 1)
            is_delivered = True
            conversation.release()
        except AssociationOver as over:
            conversation.abort(over)
            if not is_delivered:
                raise
        except BaseException:
            conversation.abort()
            raise


def fitting(rest: Iterable[Located]) -> int:
    """Return how many instances from the front fit into the presentation contexts of one association."""
    kinds, sop_classes, count = set[tuple[str, str]](), set[str](), 0
    for located in rest:
        kinds.add((located.sop_class_uid, located.transfer_syntax_uid))
        sop_classes.add(located.sop_class_uid)
        if len(kinds) + len(sop_classes) > MAX_CONTEXTS:
            break
        count += 1
    return count


def _contexts(part: Iterable[Located]) -> list[tuple[str, tuple[str, ...]]]:
    """Return what to propose: per SOP class each stored syntax alone, and the uncompressed ones together."""
    kinds = dict.fromkeys((located.sop_class_uid, located.transfer_syntax_uid) for located in part)
    alone = [(sop_class, (transfer_syntax,)) for sop_class, transfer_syntax in kinds]
    together = dict.fromkeys((sop_class, _UNCOMPRESSED) for sop_class, _ in kinds)
    return alone + list(together)


def get_sub_operations(
    conversation: Conversation,
    plan: Sequence[Located],
    *,
    retrieve: Retrieve,
    counts: SubOperations,
    is_cancelled: Callable[[], bool],
    progressed: Callable[[], None],
) -> None:
    """Send a plan over the C-GET's own association until done or cancelled."""
    sender = InstanceSender(conversation, retrieve, counts, as_requestor=False)
    for number, located in enumerate(plan, 1):
        if is_cancelled():
            break
        sender.send(located)
        if number < len(plan):
            progressed()
