"""A received instance as a Part 10 file in a folder."""

import os
import tempfile
from pathlib import Path

from pacsnode.dicom.part10 import file_meta
from pacsnode.dicom.uid import validated
from pacsnode.dimse.association.command import Element, response
from pacsnode.dimse.association.conversation import Context, Conversation, Message
from pacsnode.dimse.status import GeneralStatus, StorageStatus
from pacsnode.errors import InvalidUID


def receive_instance(
    conversation: Conversation, message: Message, calling: str, called: str, folder: Path
) -> None:
    """Write the instance of a C-STORE and answer it; the file appears whole or not at all."""
    command, context = message.command, message.context
    status, comment = int(StorageStatus.SUCCESS), ""
    try:
        uid = validated(command.raw(Element.AFFECTED_SOP_INSTANCE_UID))
        write_instance(conversation, context, uid, calling, called, folder)
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
    """Write the current message's data set as `<uid>.dcm`; raises `OSError` and leaves nothing then.

    A disk that fails on the way does not end the reading: the next message begins behind the data set.
    """
    meta = file_meta(
        sop_class_uid=context.abstract_syntax,
        sop_instance_uid=uid,
        transfer_syntax_uid=context.transfer_syntax,
        calling_ae_title=calling,
        called_ae_title=called,
    )
    failures = list[OSError]()
    file = tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False)  # noqa: SIM115 - closed below, renamed then

    def consume(piece: bytes) -> None:
        try:
            if not failures:
                file.write(piece)
        except OSError as error:
            failures.append(error)

    path = folder / f"{uid}.dcm"
    try:
        with file:
            file.write(meta)
            conversation.read_data_set(consume)
        for failure in failures:
            raise failure
        os.replace(file.name, path)
    except BaseException:
        os.unlink(file.name)
        raise
    return path
