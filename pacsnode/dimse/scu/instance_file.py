"""A received instance as a Part 10 file in a folder."""

import os
import tempfile
from pathlib import Path

from pacsnode.dicom.part10 import file_meta
from pacsnode.dimse.association.conversation import Context, Conversation


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
