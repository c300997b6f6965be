"""C-STORE (PS3.4 annex B): the data set goes to the archive as it is read; Success only when it is kept."""

import time

from pacsnode.access.peer import Service
from pacsnode.access.policy import Allowed, Refused
from pacsnode.archive.store import Receiving, Store, StoreRequest
from pacsnode.dicom.uid import validated
from pacsnode.dimse import status
from pacsnode.dimse.association.command import Element, response
from pacsnode.dimse.association.conversation import Conversation, Message
from pacsnode.dimse.association.endings import MessageViolation
from pacsnode.dimse.status import GeneralStatus, StorageStatus
from pacsnode.errors import InvalidUID, PacsNodeError
from pacsnode.observe import InstanceStored, Observer


class StorageSCP:
    """Receives instances."""

    def __init__(self, store: Store, observer: Observer) -> None:
        self._store = store
        self._observer = observer

    def serve(self, conversation: Conversation, message: Message) -> None:
        """Receive one instance and answer with what became of it."""
        started = time.monotonic()
        refusal = _not_authorized(conversation, message) or _refusal(message)
        if refusal is not None:
            conversation.skip_data_set()
            outcome, code, comment, offending = refusal
            self._answer(
                conversation, message, code, comment, offending, outcome=outcome, size=0, started=started
            )
            return
        receiving = self._store.begin(_request(conversation, message))
        try:
            is_whole = _receive(conversation, receiving)
            outcome, code, comment, offending = self._finish(receiving)
        finally:
            receiving.abandon()
        size = receiving.data_set_length
        self._answer(
            conversation, message, code, comment, offending, outcome=outcome, size=size, started=started
        )
        if not is_whole:
            raise MessageViolation("a data set longer than limits.max_dataset")

    def _finish(self, receiving: Receiving) -> tuple[str, int, str, tuple[int, ...]]:
        try:
            return receiving.finish().value, StorageStatus.SUCCESS, "", ()
        except PacsNodeError as error:
            code, comment = status.of_store(error)
            return f"{type(error).__name__}: {error}", code, comment, status.offending_of(error)

    def _answer(
        self,
        conversation: Conversation,
        message: Message,
        code: int,
        comment: str,
        offending: tuple[int, ...],
        *,
        outcome: str,
        size: int,
        started: float,
    ) -> None:
        command, context, parties = message.command, message.context, conversation.parties
        conversation.respond(context, response(command, code, comment=comment, offending=offending))
        self._observer(
            InstanceStored(
                association_id=parties.association_id,
                calling_ae_title=parties.calling_ae_title,
                sop_class_uid=command.text(Element.AFFECTED_SOP_CLASS_UID),
                sop_instance_uid=command.text(Element.AFFECTED_SOP_INSTANCE_UID),
                transfer_syntax_uid=context.transfer_syntax,
                outcome=outcome,
                status=code,
                comment=comment,
                data_set_bytes=size,
                seconds=time.monotonic() - started,
            )
        )


_Refusal = tuple[str, int, str, tuple[int, ...]]


def _not_authorized(conversation: Conversation, message: Message) -> _Refusal | None:
    """Return the refusal, as `_refusal`, of a C-STORE-RQ from one who may not store.

    It can come: a context may have been accepted for what we send (C-GET) alone.
    """
    decision = conversation.terms.rights.decide(Service.STORE)
    if isinstance(decision, Allowed) and message.context.requestor.is_scu:
        return None
    rule = decision.rule if isinstance(decision, Refused) else "the role was not negotiated"
    return rule, GeneralStatus.NOT_AUTHORIZED, "not authorized to store", ()


def _refusal(message: Message) -> _Refusal | None:
    """Return outcome, status, comment and offending tags of a C-STORE-RQ that is refused on its command set."""
    command, context = message.command, message.context
    try:
        validated(command.raw(Element.AFFECTED_SOP_INSTANCE_UID))
    except InvalidUID:
        comment = "Affected SOP Instance UID is no UID"
        return "refused", GeneralStatus.INVALID_SOP_INSTANCE, comment, (0x00001000,)
    if command.text(Element.AFFECTED_SOP_CLASS_UID) != context.abstract_syntax:
        comment = "SOP Class UID is not the context's"
        return "refused", GeneralStatus.SOP_CLASS_NOT_SUPPORTED, comment, (0x00000002,)
    if not command.has_data_set:
        return "refused", GeneralStatus.MISTYPED_ARGUMENT, "C-STORE without a data set", (0x00000800,)
    return None


def _request(conversation: Conversation, message: Message) -> StoreRequest:
    return StoreRequest(
        sop_class_uid=message.context.abstract_syntax,
        sop_instance_uid=validated(message.command.raw(Element.AFFECTED_SOP_INSTANCE_UID)),
        transfer_syntax_uid=message.context.transfer_syntax,
        calling_ae_title=conversation.parties.calling_ae_title,
        called_ae_title=conversation.parties.called_ae_title,
        association_id=conversation.parties.association_id,
        duplicates=conversation.terms.duplicates,
        max_data_set_bytes=conversation.terms.rules.max_data_set_bytes,
        character_sets=conversation.terms.rights.character_sets,
    )


def _receive(conversation: Conversation, receiving: Receiving) -> bool:
    """Read the data set into the archive; false if it is over the limit, so that reading on is pointless.

    It may be endless: it is answered with the failure that `receiving` holds, and then the association is aborted.
    """

    def consume(piece: bytes) -> None:
        receiving.write(piece)
        if receiving.is_over_limit:
            raise _OverLimit

    try:
        conversation.read_data_set(consume)
    except _OverLimit:
        return False
    return True


class _OverLimit(Exception):
    """Leaves the reading of a data set."""
