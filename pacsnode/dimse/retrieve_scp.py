"""C-GET and C-MOVE (PS3.4 C.4.2, C.4.3): plan, sub-operations, Pending on time, and the final response.

Pending responses carry all four counts. Success, Warning and Failure carry no Number of Remaining
Sub-operations; a failed list goes with every final response but Success (PS3.4 C.4.2.1.6, C.4.3.1.4).
"""

import struct
import time
from dataclasses import replace

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
from pacsnode.dimse.query_log import log_query
from pacsnode.dimse.query_scp import MAX_IDENTIFIER_BYTES
from pacsnode.dimse.rules import Rules
from pacsnode.dimse.status import RetrieveStatus
from pacsnode.dimse.sub_operations import MoveJob, get_sub_operations
from pacsnode.errors import PacsNodeError
from pacsnode.observe import Observer, RetrieveEnded

_PENDING_SECONDS = 5.0  # a requestor's time-out between two responses is never that short
_MAX_FAILED_LIST_BYTES = 65_534  # explicit VR UI has a 16 bit length

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

    def query(self, models: dict[str, InformationModel], identifier: bytes) -> Query:
        context = self.message.context
        rights, model = self.conversation.terms.rights, models[context.abstract_syntax]
        query = parse_retrieve(
            identifier,
            context.transfer_syntax,
            model,
            options=options_of(context),
            rule=rights.character_sets,
        )
        self.level = query.level.name
        log_query("retrieve", query)
        return replace(query, visibility=rights.visibility)

    def is_cancelled(self) -> bool:
        return self.conversation.cancelled(self.message.command.message_id)

    def pending(self, counts: SubOperations) -> None:
        numbers = sub_operation_counts(counts.remaining, counts.completed, counts.failed, counts.warned)
        command = response(self.message.command, RetrieveStatus.PENDING, counts=numbers)
        self.conversation.respond(self.message.context, command)

    def refuse(
        self, code: int, comment: str, offending: tuple[int, ...] = (), *, reason: str | None = None
    ) -> None:
        """Answer with a failure; `reason` is for the log, where the peer must not read it."""
        command = response(self.message.command, code, comment=comment, offending=offending)
        self.conversation.respond(self.message.context, command)
        self._emit(SubOperations(total=0), code, comment if reason is None else reason)

    def broken_off(self, counts: SubOperations, over: AssociationOver) -> None:
        """Tell of what was sent, although the requestor is not there to be answered."""
        self._emit(counts, RetrieveStatus.UNABLE_TO_PROCESS, str(over))

    def finish(self, counts: SubOperations, *, is_cancelled: bool) -> None:
        ending = counts.ending(is_cancelled=is_cancelled)
        code = _STATUS_OF[ending]
        comment = _comment(counts) if ending in (Ending.WARNING, Ending.FAILURE) else ""
        remaining = counts.remaining if ending is Ending.CANCELLED else None
        numbers = sub_operation_counts(remaining, counts.completed, counts.failed, counts.warned)
        failed = None
        if counts.failed_uids:
            failed = failed_list(counts.failed_uids, self.message.context.transfer_syntax)
        command = response(
            self.message.command, code, comment=comment, counts=numbers, has_data_set=failed is not None
        )
        self.conversation.respond(self.message.context, command, failed)
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
                seconds=time.monotonic() - self.started,
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
        identifier = conversation.data_set(MAX_IDENTIFIER_BYTES)
        try:
            plan = self._retrieve.plan(retrieving.query(GET_MODELS, identifier))
        except PacsNodeError as error:
            retrieving.refuse(*status.of_retrieve(error), status.offending_of(error))
            return
        counts = SubOperations(total=len(plan))
        try:
            get_sub_operations(
                conversation,
                plan,
                retrieve=self._retrieve,
                counts=counts,
                is_cancelled=retrieving.is_cancelled,
                progressed=lambda: retrieving.pending(counts),
            )
            is_cancelled = retrieving.is_cancelled()
        except AssociationOver as over:
            retrieving.broken_off(counts, over)
            raise
        retrieving.finish(counts, is_cancelled=is_cancelled)


class MoveSCP:
    """Answers C-MOVE by sending to a destination that the configuration knows."""

    def __init__(self, retrieve: Retrieve, observer: Observer) -> None:
        self._retrieve = retrieve
        self._observer = observer

    def serve(self, conversation: Conversation, message: Message) -> None:
        """Send what is asked for to the Move Destination and answer with the counts."""
        retrieving = _Retrieving(conversation, message, self._observer)
        identifier = conversation.data_set(MAX_IDENTIFIER_BYTES)
        retrieving.destination = message.command.text(Element.MOVE_DESTINATION)
        terms = conversation.terms
        peer = terms.rights.destination(retrieving.destination)
        if isinstance(peer, Refused):  # one that is not allowed is told as one that is not known
            code = RetrieveStatus.MOVE_DESTINATION_UNKNOWN
            retrieving.refuse(code, "Move Destination is not known here", reason=peer.rule)
            return
        try:
            plan = self._retrieve.plan(retrieving.query(MOVE_MODELS, identifier))
        except PacsNodeError as error:
            retrieving.refuse(*status.of_retrieve(error), status.offending_of(error))
            return
        parties = conversation.parties
        job = MoveJob(
            plan,
            retrieve=self._retrieve,
            caller=_caller(parties.called_ae_title, terms.rules),
            destination=Remote(peer.ae_title, peer.host, peer.port),
            originator=MoveOriginator(parties.calling_ae_title, message.command.message_id),
            priority=message.command.us(Element.PRIORITY) or 0,
        )
        job.start()
        try:
            is_cancelled = _attend(retrieving, job)
        except AssociationOver as over:
            job.close()
            retrieving.broken_off(job.counts, over)
            raise
        job.close()
        retrieving.finish(job.counts, is_cancelled=is_cancelled)


def _caller(ae_title: str, rules: Rules) -> Caller:
    """Return us as those who send, with the title that the requestor called."""
    return Caller(ae_title, rules.max_pdu_bytes, rules.timeouts.acse, rules.timeouts.dimse)


def _attend(retrieving: _Retrieving, job: MoveJob) -> bool:
    """Answer Pending whenever something was sent, and on time if not; return at the end if cancelled."""
    is_cancelled = False
    while not job.is_finished:
        retrieving.conversation.wait(job.wake_descriptor, time.monotonic() + _PENDING_SECONDS)
        job.acknowledge()
        if not is_cancelled and retrieving.is_cancelled():
            is_cancelled = True
            job.cancel()
        if job.counts.remaining and not is_cancelled:
            retrieving.pending(job.counts)
    return is_cancelled


def _comment(counts: SubOperations) -> str:
    return f"{counts.failed} failed, {counts.warned} with warnings of {counts.total}"


def failed_list(uids: list[str], transfer_syntax_uid: str) -> bytes:
    """Return an Identifier with the Failed SOP Instance UID List (0008,0058).

    Where the list would not fit into the element's 16 bit length, it ends before the first UID that does not.
    """
    value = "\\".join(uids)
    if len(value) > _MAX_FAILED_LIST_BYTES:
        value = value[: value.rindex("\\", 0, _MAX_FAILED_LIST_BYTES + 1)]
    data = value.encode("ascii")
    data += b"\0" * (len(data) & 1)
    if is_implicit_vr(transfer_syntax_uid):
        return struct.pack("<HHI", 0x0008, 0x0058, len(data)) + data
    order = ">" if is_big_endian(transfer_syntax_uid) else "<"
    return struct.pack(f"{order}HH2sH", 0x0008, 0x0058, b"UI", len(data)) + data
