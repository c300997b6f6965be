"""In which transfer syntax an instance is sent: a pure rule.

As it is stored wherever that is taken: nothing is faster, and nothing is lost. Otherwise as it can be made
(`dicom.convertible`): uncompressed first, Explicit VR before Implicit VR, since there are no more bytes than that and
each reader has it (PS3.5 10.1).

A peer may have a list of what it is to be sent, in order of preference (`transfer_syntaxes`). What is stored compressed
and is in the list is sent as it is; what is stored uncompressed is compressed if the list says so first. What cannot be
had in any of the list goes as if there were none: the last resort.
"""

from collections.abc import Collection, Sequence

from pacsnode.dicom.convertible import can_convert
from pacsnode.dicom.uid import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_encapsulated,
)

# In the order of preference; Big Endian is retired, deflating takes time.
UNCOMPRESSED = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
)


def chosen(stored: str, accepted: Collection[str], preferred: Sequence[str] = ()) -> str | None:
    """Return the transfer syntax to send in, of those that are accepted; None if there is none."""
    if stored in accepted and (not preferred or (stored in preferred and is_encapsulated(stored))):
        return stored
    rest = [*UNCOMPRESSED, *accepted]
    candidates = [*preferred, stored, *rest] if preferred else rest
    return next((one for one in candidates if one in accepted and can_convert(stored, one)), None)
