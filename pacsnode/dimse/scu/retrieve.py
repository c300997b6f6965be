"""C-MOVE and C-GET as SCU (PS3.4 C.4.2, C.4.3)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydicom import Dataset
from pydicom.dataelem import DataElement

from pacsnode.dimse.association.acse import Roles
from pacsnode.dimse.association.command import CommandField, Element, text
from pacsnode.dimse.association.conversation import Message
from pacsnode.dimse.association.requestor import MAX_CONTEXTS, Caller, Remote
from pacsnode.dimse.contexts import GET_MODELS, MOVE_MODELS
from pacsnode.dimse.scu.association import PLAIN, Association, RemoteFailure, model_of
from pacsnode.dimse.scu.default_contexts import default_contexts
from pacsnode.dimse.scu.instance_file import receive_instance
from pacsnode.dimse.scu.query import find
from pacsnode.dimse.status import FindStatus
from pacsnode.errors import NetworkError

_FAILED_SOP_INSTANCE_UID_LIST = 0x00080058


@dataclass(frozen=True, slots=True)
class RetrieveProgress:
    """A response to C-MOVE or C-GET. `remaining` is None where the response has none, as the final one."""

    status: int
    remaining: int | None
    completed: int
    failed: int
    warned: int
    failed_uids: tuple[str, ...] = ()
    comment: str = ""


def move(
    caller: Caller, remote: Remote, identifier: Dataset, *, patient_root: bool, destination: str
) -> Iterator[RetrieveProgress]:
    """Yield each response to a C-MOVE, the final one last; raises `NetworkError`."""
    model = model_of(MOVE_MODELS, patient_root=patient_root)
    with Association(caller, remote, [(model, PLAIN)]) as association:
        context = association.context(model)
        to = (Element.MOVE_DESTINATION, text(destination))
        answer = association.ask(context, CommandField.C_MOVE, identifier, to)
        while True:
            progress = _progress(association, answer)
            yield progress
            if progress.status != FindStatus.PENDING:
                return
            answer = association.conversation.next_message()


def get(
    caller: Caller,
    remote: Remote,
    identifier: Dataset,
    *,
    patient_root: bool,
    folder: Path,
    transfer_syntax: str = "",
) -> Iterator[RetrieveProgress]:
    """Yield each response to a C-GET, the final one last; raises `NetworkError`.

    Instances become `<SOPInstanceUID>.dcm` in `folder`, Part 10 with the data set as received. The remote is
    asked first which SOP classes and transfer syntaxes there are, so that each gets a context in which it
    needs no change. With a `transfer_syntax` that alone is proposed.
    """
    model = model_of(GET_MODELS, patient_root=patient_root)
    storage = _needed_contexts(caller, remote, identifier, patient_root=patient_root) or default_contexts()
    if transfer_syntax:
        storage = list(dict.fromkeys((sop_class, (transfer_syntax,)) for sop_class, _ in storage))
    contexts = [(model, PLAIN), *islice(storage, MAX_CONTEXTS - 1)]
    roles = {sop_class: Roles(is_scu=False, is_scp=True) for sop_class, _ in contexts[1:]}
    with Association(caller, remote, contexts, roles) as association:
        message = association.ask(association.context(model), CommandField.C_GET, identifier)
        while True:
            if message.command.field == CommandField.C_STORE:
                receive_instance(association.conversation, message, caller.ae_title, remote.ae_title, folder)
            else:
                progress = _progress(association, message)
                yield progress
                if progress.status != FindStatus.PENDING:
                    return
            message = association.conversation.next_message()


def _progress(association: Association, message: Message) -> RetrieveProgress:
    command = message.command
    failed: tuple[str, ...] = ()
    if command.has_data_set:
        uids = association.data_set(message).get(_FAILED_SOP_INSTANCE_UID_LIST)
        if isinstance(uids, DataElement) and uids.value:
            failed = (str(uids.value),) if isinstance(uids.value, str) else tuple(map(str, uids.value))
    return RetrieveProgress(
        status=command.status,
        remaining=command.us(Element.NUMBER_OF_REMAINING_SUB_OPERATIONS),
        completed=command.us(Element.NUMBER_OF_COMPLETED_SUB_OPERATIONS) or 0,
        failed=command.us(Element.NUMBER_OF_FAILED_SUB_OPERATIONS) or 0,
        warned=command.us(Element.NUMBER_OF_WARNING_SUB_OPERATIONS) or 0,
        failed_uids=failed,
        comment=command.text(Element.ERROR_COMMENT),
    )


def _needed_contexts(
    caller: Caller, remote: Remote, identifier: Dataset, *, patient_root: bool
) -> list[tuple[str, tuple[str, ...]]]:
    """Return the contexts in which what is asked for is stored; empty where the remote does not tell."""
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        if keyword in identifier:
            setattr(query, keyword, identifier[keyword].value)
    query.SOPClassUID = ""
    query.AvailableTransferSyntaxUID = ""
    needed: dict[tuple[str, tuple[str, ...]], None] = {}
    try:
        for match in find(caller, remote, query, patient_root=patient_root):
            syntax, sop_class = match.get("AvailableTransferSyntaxUID"), match.get("SOPClassUID")
            if not syntax or not sop_class:
                return []
            needed[str(sop_class), (str(syntax if isinstance(syntax, str) else syntax[0]),)] = None
    except (NetworkError, RemoteFailure):
        return []
    return list(needed)
