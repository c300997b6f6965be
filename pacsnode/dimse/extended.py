"""SOP Class Extended Negotiation of the Query/Retrieve classes: bytes to options and back (PS3.4 C.5, PS3.7 D.3.3.5).

Each byte of the Service-class-application-information is one option, 1 where it is proposed or accepted and 0 where not
(PS3.4 tables C.5-1 to C.5-4). An answer says of each proposed option whether the node has it, and is never longer
than the proposal, since old requestors expect one byte. What is missing at the end was not agreed upon.
"""

from collections.abc import Sequence

from pacsnode.dicom.query import Options

_NO_OPTION = ""  # enhanced multi-frame image conversion (PS3.4 C.3.5), which the node does not do

# What stands in which byte, by the names of `Options`.
FIND = (
    "relational",
    "combined_date_time",
    "fuzzy_names",
    "timezone_adjustment",
    _NO_OPTION,
    "empty_value",
    "multiple_value",
)
RETRIEVE = ("relational", _NO_OPTION)


def answer(proposed: bytes, fields: Sequence[str]) -> bytes:
    """Return what to answer to a proposal, empty for an empty one: nothing was agreed upon then."""
    return bytes(
        int(byte == 1 and field != _NO_OPTION) for byte, field in zip(proposed, fields, strict=False)
    )


def agreed(answered: bytes, fields: Sequence[str]) -> Options:
    """Return the options that an answer accepts."""
    accepted = (field for byte, field in zip(answered, fields, strict=False) if byte == 1 and field)
    return Options(**dict.fromkeys(accepted, True))


def proposal(options: Options, fields: Sequence[str]) -> bytes:
    """Return what to propose, as short as it can be; empty if there is nothing to propose."""
    asked = bytes(int(bool(field) and getattr(options, field)) for field in fields)
    return asked.rstrip(b"\0")
