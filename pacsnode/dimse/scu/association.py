"""One association as SCU: a request, its answers, and the release or abort at the end."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Self

from pydicom import Dataset
from pynetdicom.dsutils import decode as decode_data_set
from pynetdicom.dsutils import encode as encode_data_set

from pacsnode.dicom.uid import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_big_endian,
    is_implicit_vr,
)
from pacsnode.dimse.association.acse import Roles
from pacsnode.dimse.association.command import A_DATA_SET, NO_DATA_SET, CommandField, Element, encode, ui, us
from pacsnode.dimse.association.conversation import Context, Message
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.dimse.association.requestor import Caller, Remote, associate
from pacsnode.dimse.status import FindStatus
from pacsnode.errors import NetworkError, PacsNodeError, RequestError

PLAIN = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
PENDING = (FindStatus.PENDING, FindStatus.PENDING_WITHOUT_OPTIONAL_KEYS)

_MAX_IDENTIFIER_BYTES = 16 << 20


class RemoteFailure(PacsNodeError):
    """The remote answered with a failure status; `comment` is its Error Comment."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(f"status {status:#06x}{': ' if comment else ''}{comment}")
        self.status = status
        self.comment = comment


class Association:
    """A conversation as a context manager: released when all went well, aborted otherwise."""

    def __init__(
        self,
        caller: Caller,
        remote: Remote,
        contexts: Sequence[tuple[str, tuple[str, ...]]],
        roles: dict[str, Roles] | None = None,
        extended: dict[str, bytes] | None = None,
    ) -> None:
        self._remote = remote
        self.conversation = associate(caller, remote, contexts, roles=roles, extended=extended)

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


def model_of(models: Mapping[str, object], *, patient_root: bool) -> str:
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
