"""C-STORE as SCU: files as they lie (PS3.4 B.2)."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pacsnode.dicom.nesting import Incomplete
from pacsnode.dicom.part10 import Meta, identify
from pacsnode.dimse.association.command import CommandSet, Element
from pacsnode.dimse.association.conversation import Conversation
from pacsnode.dimse.association.requestor import MAX_CONTEXTS, Caller, Remote
from pacsnode.dimse.association.sender import Outgoing, Sender
from pacsnode.dimse.scu.association import Association
from pacsnode.errors import RequestError
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
        with Association(caller, remote, contexts) as association:
            sender = Sender(association.conversation)
            for file in part:
                yield _send_one(sender, association.conversation, file)


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
    contexts = conversation.contexts_for(meta.sop_class_uid, as_requestor=True)
    context = contexts.get(meta.transfer_syntax_uid)
    if context is None:
        reason = f"the remote does not take SOP class {meta.sop_class_uid} in {meta.transfer_syntax_uid}"
        return SendResult(file.path, meta.sop_instance_uid, None, reason)
    try:
        readable = FileReadable(os.open(file.path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return SendResult(file.path, meta.sop_instance_uid, None, f"cannot be read: {error.strerror}")
    try:
        outgoing = Outgoing(meta.sop_class_uid, meta.sop_instance_uid, readable, meta.data_set_offset)
        answer: CommandSet = sender.store(context, outgoing)
    finally:
        readable.close()
    comment = answer.text(Element.ERROR_COMMENT)
    return SendResult(file.path, meta.sop_instance_uid, answer.status, comment, outgoing.length)
