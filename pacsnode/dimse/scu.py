"""What the command line asks of other Application Entities: C-ECHO, C-FIND, C-MOVE, C-GET and C-STORE as SCU.

All of them use the node's own conversation, so that what is tested against other systems is what serves them.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Self

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pynetdicom.dsutils import decode as decode_data_set
from pynetdicom.dsutils import encode as encode_data_set

from pacsnode.dicom.nesting import Incomplete
from pacsnode.dicom.part10 import Meta, file_meta, identify
from pacsnode.dicom.uid import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_big_endian,
    is_implicit_vr,
    validated,
)
from pacsnode.dimse.association.acse import Roles
from pacsnode.dimse.association.command import (
    A_DATA_SET,
    NO_DATA_SET,
    CommandField,
    CommandSet,
    Element,
    encode,
    response,
    text,
    ui,
    us,
)
from pacsnode.dimse.association.conversation import Context, Conversation, Message
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.dimse.association.requestor import MAX_CONTEXTS, Caller, Remote, associate
from pacsnode.dimse.association.sender import Outgoing, Sender
from pacsnode.dimse.contexts import FIND_MODELS, GET_MODELS, MOVE_MODELS, VERIFICATION
from pacsnode.dimse.retrieve_contexts import default_contexts
from pacsnode.dimse.status import FindStatus, GeneralStatus, StorageStatus
from pacsnode.errors import InvalidUID, NetworkError, PacsNodeError, RequestError
from pacsnode.storage.files import FileReadable

__all__ = [
    "Caller",
    "Remote",
    "RemoteFailure",
    "RetrieveProgress",
    "SendResult",
    "echo",
    "find",
    "get",
    "move",
    "send",
]

_PLAIN = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_MAX_IDENTIFIER_BYTES = 16 << 20
_HEAD_BYTES = 64 << 10
_PENDING = (FindStatus.PENDING, FindStatus.PENDING_WITHOUT_OPTIONAL_KEYS)
_FAILED_SOP_INSTANCE_UID_LIST = 0x00080058


class RemoteFailure(PacsNodeError):  # noqa: N818 - the Standard's word for a status
    """The remote answered with a failure status; `comment` is its Error Comment."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(f"status {status:#06x}{': ' if comment else ''}{comment}")
        self.status = status
        self.comment = comment


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


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one file; `status` is None if it was not sent, and `comment` then says why."""

    path: Path
    sop_instance_uid: str
    status: int | None
    comment: str
    data_set_bytes: int = 0


def echo(caller: Caller, remote: Remote) -> float:
    """Return the seconds that a C-ECHO takes on a new association; raises `NetworkError`, `RemoteFailure`."""
    with _Association(caller, remote, [(VERIFICATION, _PLAIN)]) as association:
        context = association.context(VERIFICATION)
        started = time.perf_counter()
        answer = association.ask(context, CommandField.C_ECHO)
        seconds = time.perf_counter() - started
        if answer.command.status != GeneralStatus.SUCCESS:
            raise RemoteFailure(answer.command.status, answer.command.text(Element.ERROR_COMMENT))
        return seconds


def find(caller: Caller, remote: Remote, identifier: Dataset, *, patient_root: bool) -> Iterator[Dataset]:
    """Yield the matches of a C-FIND; raises `NetworkError`, `RemoteFailure`."""
    model = _model(FIND_MODELS, patient_root=patient_root)
    with _Association(caller, remote, [(model, _PLAIN)]) as association:
        context = association.context(model)
        answer = association.ask(context, CommandField.C_FIND, identifier)
        while answer.command.status in _PENDING:
            yield association.data_set(answer)
            answer = association.conversation.next_message()
        if answer.command.status != GeneralStatus.SUCCESS:
            raise RemoteFailure(answer.command.status, answer.command.text(Element.ERROR_COMMENT))


def move(
    caller: Caller, remote: Remote, identifier: Dataset, *, patient_root: bool, destination: str
) -> Iterator[RetrieveProgress]:
    """Yield each response to a C-MOVE, the final one last; raises `NetworkError`."""
    model = _model(MOVE_MODELS, patient_root=patient_root)
    with _Association(caller, remote, [(model, _PLAIN)]) as association:
        context = association.context(model)
        to = (Element.MOVE_DESTINATION, text(destination))
        answer = association.ask(context, CommandField.C_MOVE, identifier, to)
        while True:
            progress = association.progress(answer)
            yield progress
            if progress.status != FindStatus.PENDING:
                return
            answer = association.conversation.next_message()


def get(
    caller: Caller, remote: Remote, identifier: Dataset, *, patient_root: bool, folder: Path
) -> Iterator[RetrieveProgress]:
    """Yield each response to a C-GET, the final one last; raises `NetworkError`.

    Instances become `<SOPInstanceUID>.dcm` in `folder`, Part 10 with the data set as received. The remote is
    asked first which SOP classes and transfer syntaxes there are, so that each gets a context in which it
    needs no change.
    """
    model = _model(GET_MODELS, patient_root=patient_root)
    storage = _needed_contexts(caller, remote, identifier, patient_root=patient_root) or default_contexts()
    contexts = [(model, _PLAIN), *islice(storage, MAX_CONTEXTS - 1)]
    roles = {sop_class: Roles(is_scu=False, is_scp=True) for sop_class, _ in contexts[1:]}
    with _Association(caller, remote, contexts, roles) as association:
        message = association.ask(association.context(model), CommandField.C_GET, identifier)
        while True:
            if message.command.field == CommandField.C_STORE:
                _receive(association.conversation, message, caller, remote, folder)
            else:
                progress = association.progress(message)
                yield progress
                if progress.status != FindStatus.PENDING:
                    return
            message = association.conversation.next_message()


def send(caller: Caller, remote: Remote, paths: Sequence[Path]) -> Iterator[SendResult]:
    """Yield what became of each file, in order; raises `NetworkError` if the remote cannot be reached."""
    plan = [_File.of(path) for path in paths]
    at = 0
    while at < len(plan):
        count = _fitting(plan[at:])
        part, at = plan[at : at + count], at + count
        contexts = list(
            dict.fromkeys((f.meta.sop_class_uid, (f.meta.transfer_syntax_uid,)) for f in part if f.meta)
        )
        if not contexts:
            yield from (SendResult(file.path, "", None, file.reason) for file in part)
            continue
        with _Association(caller, remote, contexts) as association:
            sender = Sender(association.conversation)
            for file in part:
                yield _send_one(sender, association.conversation, file)


class _Association:
    """A conversation as a context manager: released when all went well, aborted otherwise."""

    def __init__(
        self,
        caller: Caller,
        remote: Remote,
        contexts: Sequence[tuple[str, tuple[str, ...]]],
        roles: dict[str, Roles] | None = None,
    ) -> None:
        self._remote = remote
        self.conversation = associate(caller, remote, contexts, roles=roles)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, RemoteFailure):
            try:
                self.conversation.release()
            except AssociationOver as over:
                self.conversation.abort(over)
            return
        self.conversation.abort(error if isinstance(error, AssociationOver) else None)
        if isinstance(error, AssociationOver):
            raise NetworkError(f"{self._remote}: {error}") from error

    def context(self, abstract_syntax: str) -> Context:
        for context in self.conversation.contexts.values():
            if context.abstract_syntax == abstract_syntax:
                return context
        raise NetworkError(
            f"{self._remote}: does not offer this service to us (presentation context refused)"
        )

    def ask(
        self,
        context: Context,
        command_field: CommandField,
        identifier: Dataset | None = None,
        *more: tuple[Element, bytes],
    ) -> Message:
        """Send a request and return the first message that follows."""
        conversation = self.conversation
        data_set = None if identifier is None else _encoded(identifier, context.transfer_syntax)
        elements = [
            (Element.AFFECTED_SOP_CLASS_UID, ui(context.abstract_syntax)),
            (Element.COMMAND_FIELD, us(command_field)),
            (Element.MESSAGE_ID, us(conversation.next_message_id())),
            *more,
            (Element.COMMAND_DATA_SET_TYPE, us(NO_DATA_SET if data_set is None else A_DATA_SET)),
        ]
        if data_set is not None:
            elements.insert(-1, (Element.PRIORITY, us(0)))
        conversation.respond(context, encode(elements), data_set)
        return conversation.next_message()

    def data_set(self, message: Message) -> Dataset:
        syntax = message.context.transfer_syntax
        return _decoded(self.conversation.data_set(_MAX_IDENTIFIER_BYTES), syntax)

    def progress(self, message: Message) -> RetrieveProgress:
        command = message.command
        failed: tuple[str, ...] = ()
        if command.has_data_set:
            uids = self.data_set(message).get(_FAILED_SOP_INSTANCE_UID_LIST)
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


def _model(models: Mapping[str, object], *, patient_root: bool) -> str:
    """Return the abstract syntax of an information model: tables list Patient Root first."""
    return list(models)[0 if patient_root else 1]


def _encoded(identifier: Dataset, transfer_syntax_uid: str) -> bytes:
    data = encode_data_set(
        identifier, is_implicit_vr(transfer_syntax_uid), not is_big_endian(transfer_syntax_uid)
    )
    if data is None:
        raise RequestError("the Identifier cannot be encoded")
    return bytes(data)


def _decoded(data: bytes, transfer_syntax_uid: str) -> Dataset:
    return decode_data_set(
        BytesIO(data), is_implicit_vr(transfer_syntax_uid), not is_big_endian(transfer_syntax_uid)
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


def _receive(
    conversation: Conversation, message: Message, caller: Caller, remote: Remote, folder: Path
) -> None:
    """Write one instance of a C-GET and answer; the file appears whole or not at all."""
    command, context = message.command, message.context
    status, comment = int(StorageStatus.SUCCESS), ""
    try:
        uid = validated(command.raw(Element.AFFECTED_SOP_INSTANCE_UID))
        write_instance(conversation, context, uid, caller.ae_title, remote.ae_title, folder)
    except InvalidUID:
        conversation.skip_data_set()
        status, comment = GeneralStatus.INVALID_SOP_INSTANCE, "Affected SOP Instance UID is no UID"
    except OSError as error:
        conversation.skip_data_set()
        status, comment = StorageStatus.OUT_OF_RESOURCES, f"cannot be written: {error.strerror}"
    conversation.respond(context, response(command, status, comment=comment))


def write_instance(
    conversation: Conversation, context: Context, uid: str, calling: str, called: str, folder: Path
) -> Path:
    """Write the current message's data set as `<uid>.dcm`; raises `OSError` and leaves nothing then."""
    meta = file_meta(
        sop_class_uid=context.abstract_syntax,
        sop_instance_uid=uid,
        transfer_syntax_uid=context.transfer_syntax,
        calling_ae_title=calling,
        called_ae_title=called,
    )
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
        try:
            file.write(meta)
            conversation.read_data_set(lambda piece: _written(file.write(piece)))
        except BaseException:
            os.unlink(file.name)
            raise
    path = folder / f"{uid}.dcm"
    os.replace(file.name, path)
    return path


def _written(_: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class _File:
    """A file to send, or the reason why it cannot be."""

    path: Path
    meta: Meta | None = None
    reason: str = field(default="")

    @classmethod
    def of(cls, path: Path) -> "_File":
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
                size = os.fstat(file.fileno()).st_size
                try:
                    return cls(path, identify(head, is_complete=len(head) == size))
                except Incomplete:
                    return cls(path, identify(head + file.read(), is_complete=True))
        except RequestError as error:
            return cls(path, reason=str(error))
        except OSError as error:
            return cls(path, reason=f"cannot be read: {error.strerror}")


def _fitting(plan: Sequence[_File]) -> int:
    kinds: set[tuple[str, str]] = set()
    for count, file in enumerate(plan):
        if file.meta is not None:
            kinds.add((file.meta.sop_class_uid, file.meta.transfer_syntax_uid))
        if len(kinds) > MAX_CONTEXTS:
            return count
    return len(plan)


def _send_one(sender: Sender, conversation: Conversation, file: _File) -> SendResult:
    meta = file.meta
    if meta is None:
        return SendResult(file.path, "", None, file.reason)
    context = conversation.context_for(meta.sop_class_uid, meta.transfer_syntax_uid, as_requestor=True)
    if context is None:
        reason = f"the remote does not take SOP class {meta.sop_class_uid} in {meta.transfer_syntax_uid}"
        return SendResult(file.path, meta.sop_instance_uid, None, reason)
    try:
        readable = FileReadable(os.open(file.path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return SendResult(file.path, meta.sop_instance_uid, None, f"cannot be read: {error.strerror}")
    try:
        size = readable.length - meta.data_set_offset
        outgoing = Outgoing(meta.sop_class_uid, meta.sop_instance_uid, readable, meta.data_set_offset)
        answer: CommandSet = sender.store(context, outgoing)
    finally:
        readable.close()
    comment = answer.text(Element.ERROR_COMMENT)
    return SendResult(file.path, meta.sop_instance_uid, answer.status, comment, size)
