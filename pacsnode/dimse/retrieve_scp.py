"""C-GET and C-MOVE (PS3.4 C.4.2, C.4.3): plan, sub-operations, Pending on time, and the final response.

Pending responses carry all four counts. Success, Warning and Failure carry no Number of Remaining
Sub-operations; a failed list goes with every final response but Success (PS3.4 C.4.2.1.6, C.4.3.1.4).

**More than 65,535 sub-operations.** The four counts are unsigned shorts (PS3.7 E.1, VR US), and the Standard limits
neither the number of sub-operations nor says what a count beyond 65,535 is. Each count is told as it is up to 65,535,
and as 65,535 above: "at least so many", which is never less than before for what was done and never more for what
remains. The Error Comment and the event have the true numbers.

**A long failed list.** A value of VR UI has at most 65,534 bytes in Explicit VR: a longer list ends there, with a whole
UID, and the count says that there are more. PS3.5 6.2.2 would have a longer value with VR UN; pydicom gives that out as
bytes and not as UIDs, and a list of the first thousand is worth more to a requestor than one that it cannot read. In
Implicit VR there is no such limit.
"""

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pacsnode.access.peer import Peer
from pacsnode.access.policy import Refused
from pacsnode.archive.retrieve import Ending, Retrieve, SubOperations
from pacsnode.dicom.identifier import parse_retrieve
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.dicom.uid import is_big_endian, is_implicit_vr
from pacsnode.dimse import status
from pacsnode.dimse.association.command import Element, response, sub_operation_counts
from pacsnode.dimse.association.conversation import Conversation, Message
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.dimse.association.requestor import Caller, Remote
from pacsnode.dimse.association.sender import MoveOriginator
from pacsnode.dimse.contexts import GET_MODELS, MOVE_MODELS, options_of
from pacsnode.dimse.endurance import Endurance
from pacsnode.dimse.lines import MOST_LINES, Lines
from pacsnode.dimse.move_job import MoveJob, Order
from pacsnode.dimse.pending import PENDING_SECONDS
from pacsnode.dimse.proposing import kind_of
from pacsnode.dimse.query_log import log_query
from pacsnode.dimse.query_scp import MAX_IDENTIFIER_BYTES
from pacsnode.dimse.rules import Rules
from pacsnode.dimse.status import RetrieveStatus
from pacsnode.dimse.sub_operations import InstanceSender, get_sub_operations
from pacsnode.errors import PacsNodeError
from pacsnode.index.base import Located
from pacsnode.observe import Observer, RetrieveEnded

_MAX_UI_BYTES = 65_534  # explicit VR UI has a 16 bit length
_CANCEL_SECONDS = 10.0  # for what is being sent when a C-CANCEL comes

_STATUS_OF = {
    Ending.SUCCESS: RetrieveStatus.SUCCESS,
    Ending.WARNING: RetrieveStatus.WARNING,
    Ending.FAILURE: RetrieveStatus.OUT_OF_RESOURCES_SUB_OPERATIONS,
    Ending.CANCELLED: RetrieveStatus.CANCEL,
}


class _Retrieving:
    """One C-GET or C-MOVE: what both answer alike."""

    def __init__(self, conversation: Conversation, message: Message, observer: Observer) -> None:
        self.conversation = conversation
        self.message = message
        self.observer = observer
        self.destination = ""
        self.level = ""
        self.started = time.monotonic()
        self.associations = 0
        self.is_given_up = False  # the destination

    @property
    def priority(self) -> int:
        return self.message.command.us(Element.PRIORITY) or 0

    def query(self, models: dict[str, InformationModel], identifier: bytes) -> Query:
        context = self.message.context
        rights, model = self.conversation.terms.rights, models[context.abstract_syntax]
        parsed = parse_retrieve(
            identifier,
            context.transfer_syntax,
            model,
            options=options_of(context),
            rule=rights.character_sets,
        )
        query = replace(parsed, visibility=rights.visibility)
        self.level = query.level.name
        log_query("retrieve", query)
        return query

    def is_cancelled(self) -> bool:
        return self.conversation.cancelled(self.message.command.message_id)

    def has_heard_cancel(self) -> bool:
        return self.conversation.has_heard_cancel(self.message.command.message_id)

    def plan(self, retrieve: Retrieve, models: dict[str, InformationModel]) -> list[Located] | None:
        """Return what to send; None if the request was refused instead."""
        identifier = self.conversation.data_set(MAX_IDENTIFIER_BYTES)
        try:
            return retrieve.plan(self.query(models, identifier))
        except PacsNodeError as error:
            self.refuse(*status.of_retrieve(error), status.offending_of(error))
            return None

    @contextmanager
    def told(self, counts: SubOperations) -> Iterator[None]:
        """Tell of what was sent, although the requestor is not there to be answered, or we have failed it."""
        try:
            yield
        except AssociationOver as over:
            self._emit(counts, RetrieveStatus.UNABLE_TO_PROCESS, str(over))
            raise
        except BaseException:
            self._emit(counts, RetrieveStatus.UNABLE_TO_PROCESS, "unexpected error")
            raise

    def pending(self, counts: SubOperations) -> None:
        now = counts.numbers()
        numbers = sub_operation_counts(now.remaining, now.completed, now.failed, now.warned)
        command = response(self.message.command, RetrieveStatus.PENDING, counts=numbers)
        self.conversation.respond(self.message.context, command)

    def refuse(
        self, code: int, comment: str, offending: tuple[int, ...] = (), *, reason: str | None = None
    ) -> None:
        """Answer with a failure; `reason` is for the log, where the peer must not read it."""
        command = response(self.message.command, code, comment=comment, offending=offending)
        self.conversation.respond(self.message.context, command)
        self._emit(SubOperations(total=0), code, comment if reason is None else reason)

    def finish(self, counts: SubOperations, *, is_cancelled: bool) -> None:
        """Answer with how it ended, which comes true whatever the requestor still hears of it."""
        ending = counts.ending(is_cancelled=is_cancelled)
        code = _STATUS_OF[ending]
        comment = (
            _comment(counts, is_given_up=self.is_given_up)
            if ending in (Ending.WARNING, Ending.FAILURE)
            else ""
        )
        remaining = counts.remaining if ending is Ending.CANCELLED else None
        numbers = sub_operation_counts(remaining, counts.completed, counts.failed, counts.warned)
        failed = None
        if counts.failed_uids:
            failed = failed_list(counts.failed_uids, self.message.context.transfer_syntax)
        command = response(
            self.message.command, code, comment=comment, counts=numbers, has_data_set=failed is not None
        )
        try:
            self.conversation.respond(self.message.context, command, failed)
        finally:
            self._emit(counts, code, counts.first_failure)

    def _emit(self, counts: SubOperations, code: int, comment: str) -> None:
        parties = self.conversation.parties
        self.observer(
            RetrieveEnded(
                association_id=parties.association_id,
                calling_ae_title=parties.calling_ae_title,
                destination_ae_title=self.destination,
                level=self.level,
                completed=counts.completed,
                failed=counts.failed,
                warned=counts.warned,
                remaining=counts.remaining,
                status=code,
                comment=comment,
                bytes_sent=counts.bytes_sent,
                converted=counts.converted,
                seconds=time.monotonic() - self.started,
                associations=self.associations,
            )
        )


class GetSCP:
    """Answers C-GET over the requestor's own association."""

    def __init__(self, retrieve: Retrieve, observer: Observer) -> None:
        self._retrieve = retrieve
        self._observer = observer

    def serve(self, conversation: Conversation, message: Message) -> None:
        """Send what is asked for and answer with the counts."""
        retrieving = _Retrieving(conversation, message, self._observer)
        plan = retrieving.plan(self._retrieve, GET_MODELS)
        if plan is None:
            return
        counts, precedence, priority = (
            SubOperations(total=len(plan)),
            self._retrieve.precedence,
            retrieving.priority,
        )
        peer = conversation.terms.rights.peer
        sender = InstanceSender(
            conversation,
            counts,
            as_requestor=False,
            priority=priority,
            preferred=() if peer is None else peer.transfer_syntaxes,
        )
        ahead = self._retrieve.read_ahead(plan, wanted_in=lambda located: sender.wanted_in(kind_of(located)))
        with retrieving.told(counts):
            try:
                with precedence.active(priority):
                    get_sub_operations(
                        sender,
                        ahead,
                        counts=counts,
                        give_way=lambda: precedence.give_way(priority),
                        is_cancelled=retrieving.is_cancelled,
                        has_heard_cancel=retrieving.has_heard_cancel,
                        pending=lambda: retrieving.pending(counts),
                    )
                is_cancelled = retrieving.is_cancelled()
            finally:
                ahead.close()
        retrieving.finish(counts, is_cancelled=is_cancelled)


class MoveSCP:
    """Answers C-MOVE by sending to a destination that the configuration knows."""

    def __init__(self, retrieve: Retrieve, observer: Observer) -> None:
        self._retrieve = retrieve
        self._observer = observer
        self._lines = Lines()

    def serve(self, conversation: Conversation, message: Message) -> None:
        """Send what is asked for to the Move Destination and answer with the counts."""
        retrieving = _Retrieving(conversation, message, self._observer)
        retrieving.destination = message.command.text(Element.MOVE_DESTINATION)
        rules, peer = conversation.terms.rules, conversation.terms.rights.destination(retrieving.destination)
        if isinstance(peer, Refused):  # one that is not allowed is told as one that is not known
            conversation.skip_data_set()
            code = RetrieveStatus.MOVE_DESTINATION_UNKNOWN
            retrieving.refuse(code, "Move Destination is not known here", reason=peer.rule)
            return
        plan = retrieving.plan(self._retrieve, MOVE_MODELS)
        if plan is None:
            return
        job = MoveJob(
            plan,
            _order(retrieving, rules, peer),
            retrieve=self._retrieve,
            lines=self._lines,
            endurance=Endurance(stalled_seconds=rules.stalled_seconds),
        )
        with retrieving.told(job.counts):
            try:
                with self._retrieve.precedence.active(retrieving.priority):
                    job.start()
                    is_cancelled = _attend(retrieving, job)
            finally:
                job.close()
                retrieving.associations, retrieving.is_given_up = job.associations, job.is_given_up
        retrieving.finish(job.counts, is_cancelled=is_cancelled)


def _order(retrieving: _Retrieving, rules: Rules, peer: Peer) -> Order:
    """Return what to do: we call with the title that the requestor called, unless the peer is to see another."""
    parties, timeouts = retrieving.conversation.parties, rules.timeouts
    calling = peer.calling_ae_title or parties.called_ae_title
    return Order(
        caller=Caller(calling, rules.max_pdu_bytes, timeouts.acse, timeouts.dimse),
        destination=Remote(peer.ae_title, peer.host, peer.port, peer.tls),
        originator=MoveOriginator(parties.calling_ae_title, retrieving.message.command.message_id),
        priority=retrieving.priority,
        associations=min(peer.max_associations, MOST_LINES) or 1,
        preferred=peer.transfer_syntaxes,
    )


def _attend(retrieving: _Retrieving, job: MoveJob) -> bool:
    """Answer Pending whenever something was sent, and on time if not; return at the end if cancelled."""
    is_cancelled, last = False, float("inf")
    while not job.is_finished:
        until = min(last, time.monotonic() + PENDING_SECONDS)
        retrieving.conversation.wait(job.wake_descriptor, until)
        job.acknowledge()
        if not is_cancelled and retrieving.is_cancelled():
            is_cancelled, last = True, time.monotonic() + _CANCEL_SECONDS
            job.cancel()
        if time.monotonic() >= last:
            return is_cancelled  # what hangs is broken off, and has not been done
        is_late = time.monotonic() >= until  # also while the destination takes its time for the release
        if not is_cancelled and not job.is_finished and (job.counts.remaining or is_late):
            retrieving.pending(job.counts)
    return is_cancelled


def _comment(counts: SubOperations, *, is_given_up: bool) -> str:
    if is_given_up:  # why is for the log: it names addresses
        return f"{counts.failed} failed of {counts.total}: Move Destination was given up"
    if counts.first_comment:
        return f"{counts.failed} failed of {counts.total}: {counts.first_comment}"
    return f"{counts.failed} failed, {counts.warned} with warnings of {counts.total}"


def failed_list(uids: list[str], transfer_syntax_uid: str) -> bytes:
    """Return an Identifier with the Failed SOP Instance UID List (0008,0058), as long as the VR's length allows."""
    value = "\\".join(uids)
    is_implicit = is_implicit_vr(transfer_syntax_uid)
    if len(value) > _MAX_UI_BYTES and not is_implicit:
        value = value[: value.rindex("\\", 0, _MAX_UI_BYTES + 1)]
    data = value.encode("ascii")
    data += b"\0" * (len(data) & 1)
    if is_implicit:
        return struct.pack("<HHI", 0x0008, 0x0058, len(data)) + data
    order = ">" if is_big_endian(transfer_syntax_uid) else "<"
    return struct.pack(f"{order}HH2sH", 0x0008, 0x0058, b"UI", len(data)) + data
