"""Command sets: Implicit VR Little Endian, group 0000 only (PS3.7 6.3.1, E.1)."""

import struct
from collections.abc import Iterable
from enum import IntEnum

from pacsnode.dimse.association.endings import MessageViolation

_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<H")
_GROUP_LENGTH = struct.Struct("<HHII")

NO_DATA_SET = 0x0101  # Command Data Set Type (0000,0800): none follows
A_DATA_SET = 0x0001
IS_RESPONSE = 0x8000
MAX_COMMENT_CHARACTERS = 64


class CommandField(IntEnum):
    """Command Field (0000,0100) of requests (PS3.7 E.1); a response's has `IS_RESPONSE` set as well."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150
    C_CANCEL = 0x0FFF


class Element(IntEnum):
    """Element numbers of the group 0000 (PS3.7 E.1)."""

    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    COMMAND_DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    OFFENDING_ELEMENT = 0x0901
    ERROR_COMMENT = 0x0902
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    NUMBER_OF_REMAINING_SUB_OPERATIONS = 0x1020
    NUMBER_OF_COMPLETED_SUB_OPERATIONS = 0x1021
    NUMBER_OF_FAILED_SUB_OPERATIONS = 0x1022
    NUMBER_OF_WARNING_SUB_OPERATIONS = 0x1023
    MOVE_ORIGINATOR_AE_TITLE = 0x1030
    MOVE_ORIGINATOR_MESSAGE_ID = 0x1031


class CommandSet:
    """A received command set: raw values by element number. A value that is missing or too short is None."""

    def __init__(self, elements: dict[int, bytes]) -> None:
        self._elements = elements
        field = self.us(Element.COMMAND_FIELD)
        if field is None:
            raise MessageViolation("a command set without Command Field")
        self.field = field
        self.has_data_set = self.us(Element.COMMAND_DATA_SET_TYPE) not in (None, NO_DATA_SET)

    @classmethod
    def decode(cls, data: bytes) -> "CommandSet":
        """Read a command set; raises `MessageViolation` for anything that is none."""
        elements, at, end = {}, 0, len(data)
        while at + 8 <= end:
            group, number, length = _ELEMENT.unpack_from(data, at)
            at += 8
            if group != 0 or length > end - at:
                raise MessageViolation("an undecodable command set")
            elements[number] = data[at : at + length]
            at += length
        if at != end:
            raise MessageViolation("a command set with bytes left over")
        return cls(elements)

    @property
    def is_response(self) -> bool:
        """Whether this answers a request."""
        return self.field & IS_RESPONSE != 0 and self.field != CommandField.C_CANCEL

    @property
    def message_id(self) -> int:
        """Message ID; raises `MessageViolation` if it is missing."""
        return self._required_us(Element.MESSAGE_ID)

    @property
    def message_id_being_responded_to(self) -> int:
        """Message ID Being Responded To; raises `MessageViolation` if it is missing."""
        return self._required_us(Element.MESSAGE_ID_BEING_RESPONDED_TO)

    @property
    def status(self) -> int:
        """Status; raises `MessageViolation` if it is missing."""
        return self._required_us(Element.STATUS)

    def _required_us(self, element: Element) -> int:
        value = self.us(element)
        if value is None:
            raise MessageViolation(f"a command set without {element.name}")
        return value

    def us(self, element: Element) -> int | None:
        """Return an unsigned short."""
        value = self._elements.get(element, b"")
        return int(_US.unpack_from(value)[0]) if len(value) >= 2 else None

    def raw(self, element: Element) -> bytes:
        """Return the value's bytes, empty if it is missing."""
        return self._elements.get(element, b"")

    def text(self, element: Element) -> str:
        """Return an AE title, UID or text without padding; empty if it is missing."""
        return self.raw(element).decode("ascii", "replace").strip(" \0")


def us(value: int) -> bytes:
    """Encode an unsigned short."""
    return _US.pack(value)


def ui(uid: str) -> bytes:
    """Encode a UID, padded to even length."""
    return _even(uid.encode("ascii"))


def _even(data: bytes) -> bytes:
    return data + b"\0" if len(data) & 1 else data


def text(value: str) -> bytes:
    """Encode an AE title or comment, padded to even length; what is not ASCII becomes `?`."""
    data = value.encode("ascii", "replace")
    return data + b" " if len(data) & 1 else data


def encode(elements: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode a command set from element numbers and values of even length, in ascending order."""
    body = b"".join([_ELEMENT.pack(0, number, len(value)) + value for number, value in elements])
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def response(
    request: CommandSet,
    status: int,
    *,
    comment: str = "",
    offending: tuple[int, ...] = (),
    has_data_set: bool = False,
    counts: tuple[tuple[Element, int], ...] = (),
) -> bytes:
    """Return the command set that answers a request (PS3.7 9.3): class, instance and message ID come back."""
    instance = _even(request.raw(Element.AFFECTED_SOP_INSTANCE_UID))
    elements = [
        (Element.AFFECTED_SOP_CLASS_UID, _even(request.raw(Element.AFFECTED_SOP_CLASS_UID))),
        (Element.COMMAND_FIELD, us(request.field | IS_RESPONSE)),
        (Element.MESSAGE_ID_BEING_RESPONDED_TO, us(request.message_id)),
        (Element.COMMAND_DATA_SET_TYPE, us(A_DATA_SET if has_data_set else NO_DATA_SET)),
        (Element.STATUS, us(status)),
    ]
    if offending:
        tags = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in offending)
        elements.append((Element.OFFENDING_ELEMENT, tags))
    if comment:
        elements.append((Element.ERROR_COMMENT, text(comment[:MAX_COMMENT_CHARACTERS])))
    if instance:
        elements.append((Element.AFFECTED_SOP_INSTANCE_UID, instance))
    elements += [(number, us(min(count, 0xFFFF))) for number, count in counts]
    return encode(elements)


def sub_operation_counts(
    remaining: int | None, completed: int, failed: int, warned: int
) -> tuple[tuple[Element, int], ...]:
    """Return the counts of a C-GET or C-MOVE response, without Remaining where the status forbids it."""
    counts = (
        (Element.NUMBER_OF_COMPLETED_SUB_OPERATIONS, completed),
        (Element.NUMBER_OF_FAILED_SUB_OPERATIONS, failed),
        (Element.NUMBER_OF_WARNING_SUB_OPERATIONS, warned),
    )
    if remaining is None:
        return counts
    return ((Element.NUMBER_OF_REMAINING_SUB_OPERATIONS, remaining), *counts)
