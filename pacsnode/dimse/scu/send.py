"""C-STORE as SCU: files as they lie, converted where the remote does not take them so (PS3.4 B.2)."""

import os
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from pacsnode.archive.read_ahead import Converter, cannot_convert
from pacsnode.dicom.nesting import Incomplete
from pacsnode.dicom.part10 import Meta, identify
from pacsnode.dicom.syntax_names import name_of, names_of
from pacsnode.dimse.association.command import CommandSet, Element
from pacsnode.dimse.association.conversation import Conversation
from pacsnode.dimse.association.requestor import MAX_CONTEXTS, Caller, Remote
from pacsnode.dimse.association.sender import Outgoing, Sender
from pacsnode.dimse.choosing import chosen
from pacsnode.dimse.proposing import Kind, contexts_of
from pacsnode.dimse.scu.association import Association
from pacsnode.errors import PacsNodeError, RequestError
from pacsnode.storage.base import Readable
from pacsnode.storage.files import FileReadable

_HEAD_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one file; `status` is None if it was not sent, and `comment` then says why."""

    path: Path
    sop_instance_uid: str
    status: int | None
    comment: str
    data_set_bytes: int = 0


def send(
    caller: Caller,
    remote: Remote,
    paths: Sequence[Path],
    *,
    transfer_syntax: str = "",
    convert: Converter = cannot_convert,
) -> Iterator[SendResult]:
    """Yield what became of each file, in order; raises `NetworkError` if the remote cannot be reached.

    With a `transfer_syntax` all is sent in that, or not at all.
    """
    plan = [_File.of(path) for path in paths]
    at = 0
    while at < len(plan):
        count = _fitting(plan[at:], transfer_syntax)
        part, at = plan[at : at + count], at + count
        contexts = _contexts_of({file.kind for file in part if file.kind}, transfer_syntax)
        if not contexts:
            yield from (SendResult(file.path, "", None, file.reason) for file in part)
            continue
        with Association(caller, remote, contexts) as association:
            sending = _Sending(association.conversation, transfer_syntax, convert)
            for file in part:
                yield sending.one(file)


def _contexts_of(kinds: AbstractSet[Kind], transfer_syntax: str) -> list[tuple[str, tuple[str, ...]]]:
    if not transfer_syntax:
        return contexts_of(sorted(kinds))
    return list(dict.fromkeys((sop_class, (transfer_syntax,)) for sop_class, _ in sorted(kinds)))


@dataclass(frozen=True, slots=True)
class _File:
    """A file to send, or the reason why it cannot be."""

    path: Path
    meta: Meta | None = None
    reason: str = field(default="")

    @property
    def kind(self) -> Kind | None:
        return (self.meta.sop_class_uid, self.meta.transfer_syntax_uid) if self.meta else None

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


def _fitting(plan: Sequence[_File], transfer_syntax: str) -> int:
    kinds: set[Kind] = set()
    for count, file in enumerate(plan):
        if file.kind and file.kind not in kinds:
            kinds.add(file.kind)
            if len(_contexts_of(kinds, transfer_syntax)) > MAX_CONTEXTS:
                return count
    return len(plan)


class _Sending:
    """Sends files over one association."""

    def __init__(self, conversation: Conversation, transfer_syntax: str, convert: Converter) -> None:
        self._conversation = conversation
        self._preferred = (transfer_syntax,) if transfer_syntax else ()
        self._convert = convert
        self._sender = Sender(conversation)

    def one(self, file: _File) -> SendResult:
        meta = file.meta
        if meta is None:
            return SendResult(file.path, "", None, file.reason)
        contexts = self._conversation.contexts_for(meta.sop_class_uid, as_requestor=True)
        wanted = chosen(meta.transfer_syntax_uid, contexts, self._preferred)
        if wanted is None:
            stored, accepted = name_of(meta.transfer_syntax_uid), names_of(tuple(contexts))
            reason = (
                f"it is in {stored}, and the remote takes its SOP class {meta.sop_class_uid} in {accepted}"
            )
            return SendResult(file.path, meta.sop_instance_uid, None, reason)
        try:
            readable, offset = self._opened(file.path, meta, wanted)
        except OSError as error:
            return SendResult(file.path, meta.sop_instance_uid, None, f"cannot be read: {error.strerror}")
        except PacsNodeError as error:
            return SendResult(
                file.path, meta.sop_instance_uid, None, f"not converted to {name_of(wanted)}: {error}"
            )
        try:
            outgoing = Outgoing(meta.sop_class_uid, meta.sop_instance_uid, readable, offset)
            answer: CommandSet = self._sender.store(contexts[wanted], outgoing)
        finally:
            readable.close()
        comment = answer.text(Element.ERROR_COMMENT)
        return SendResult(file.path, meta.sop_instance_uid, answer.status, comment, outgoing.length)

    def _opened(self, path: Path, meta: Meta, wanted: str) -> tuple[Readable, int]:
        """Return what to send, and where its data set begins."""
        readable = FileReadable(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        if wanted == meta.transfer_syntax_uid:
            return readable, meta.data_set_offset
        try:
            stored = meta.transfer_syntax_uid
            return self._convert(readable, meta.data_set_offset, stored, wanted, lambda: True), 0
        finally:
            readable.close()
