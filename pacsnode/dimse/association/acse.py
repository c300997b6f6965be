"""A-ASSOCIATE PDUs to values and back (PS3.8 9.3.2 to 9.3.4, PS3.7 annex D), by tables over the raw bytes.

A modality offers up to 128 contexts in each association. pynetdicom's codec takes 10 ms of this thread's time
to read such a request and builds an object for each item of it; here it is one pass over the bytes. Its codec
stays the oracle of the tests. AE titles padded with NULs are accepted. Whatever is wrong becomes
`ProtocolViolation`.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from pacsnode.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacsnode.dimse.association.endings import AbortReason, ProtocolViolation
from pacsnode.dimse.association.pdu import HEADER, PDUType

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"

_PROTOCOL_VERSION = 0x0001  # bit 0; other bits are other versions (PS3.8 9.3.2)
_FIXED = struct.Struct(">HH16s16s32x")
_ITEM = struct.Struct(">BxH")
_PROPOSED = struct.Struct(">Bxxx")
_DECIDED = struct.Struct(">BxBx")
_LENGTH = struct.Struct(">I")
_SHORT = struct.Struct(">H")

# Item types (PS3.8 9.3.2, PS3.7 D.3.3).
_APPLICATION_CONTEXT = 0x10
_PROPOSED_CONTEXT = 0x20
_DECIDED_CONTEXT = 0x21
_ABSTRACT_SYNTAX = 0x30
_TRANSFER_SYNTAX = 0x40
_USER_INFORMATION = 0x50
_MAXIMUM_LENGTH = 0x51
_IMPLEMENTATION_CLASS_UID = 0x52
_ROLE_SELECTION = 0x54
_IMPLEMENTATION_VERSION_NAME = 0x55
_EXTENDED_NEGOTIATION = 0x56


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context as proposed (PS3.8 9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Roles:
    """SCP/SCU Role Selection for one SOP class: what the requestor may be (PS3.7 D.3.3.4)."""

    is_scu: bool
    is_scp: bool


DEFAULT_ROLES = Roles(is_scu=True, is_scp=False)


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """What an A-ASSOCIATE-RQ asks for. `max_pdu_bytes` 0 is no limit.

    `extended` is the Service-class-application-information by SOP class (PS3.7 D.3.3.5).
    """

    called_ae_title: str
    calling_ae_title: str
    application_context_name: str
    proposals: tuple[Proposal, ...]
    max_pdu_bytes: int
    roles: dict[str, Roles] = field(default_factory=dict)
    extended: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one proposal: result 0 accepts, others refuse (PS3.8 table 9-18)."""

    context_id: int
    abstract_syntax: str
    result: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """What an A-ASSOCIATE-AC grants; `roles` and `extended` hold only what was answered."""

    decisions: tuple[Decision, ...]
    max_pdu_bytes: int
    roles: dict[str, Roles] = field(default_factory=dict)
    extended: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int


def decode_request(body: bytes) -> AssociateRequest:
    """Read the body of an A-ASSOCIATE-RQ; raises `ProtocolViolation`."""
    called, calling = _titles(body)
    application_context, proposals = "", list[Proposal]()
    user_information = memoryview(b"")
    for kind, value in _items(memoryview(body)[_FIXED.size :]):
        if kind == _PROPOSED_CONTEXT:
            proposals.append(_proposal(value))
        elif kind == _USER_INFORMATION:
            user_information = value
        elif kind == _APPLICATION_CONTEXT:
            application_context = _uid(value)
    if len({proposal.context_id for proposal in proposals}) != len(proposals):
        raise _invalid("a presentation context ID twice")
    user = _user_information(user_information)
    return AssociateRequest(
        called,
        calling,
        application_context,
        tuple(proposals),
        user.max_pdu_bytes,
        user.roles,
        user.extended,
    )


def decode_accept(body: bytes) -> AssociateAccept:
    """Read the body of an A-ASSOCIATE-AC; raises `ProtocolViolation`."""
    _titles(body)
    decisions, user_information = list[Decision](), memoryview(b"")
    for kind, value in _items(memoryview(body)[_FIXED.size :]):
        if kind == _DECIDED_CONTEXT:
            decisions.append(_decision(value))
        elif kind == _USER_INFORMATION:
            user_information = value
    user = _user_information(user_information)
    return AssociateAccept(tuple(decisions), user.max_pdu_bytes, user.roles, user.extended)


def decode_rejection(body: bytes) -> Rejection:
    """Read the body of an A-ASSOCIATE-RJ, whose length was checked."""
    return Rejection(*body[1:4])


def _titles(body: bytes) -> tuple[str, str]:
    """Return called and calling AE title, without the padding that peers put around them."""
    if len(body) < _FIXED.size:
        raise _invalid("an A-ASSOCIATE PDU that is too short")
    version, _, called, calling = _FIXED.unpack_from(body)
    if not version & _PROTOCOL_VERSION:
        raise _invalid("a protocol version that does not exist")
    return _title(called), _title(calling)


def _title(raw: bytes) -> str:
    """Return an AE title without padding; what cannot stand in one (PS3.5 6.2) becomes `?`."""
    text = raw.strip(b" \0").decode("latin-1")
    return "".join(char if " " <= char <= "~" and char != "\\" else "?" for char in text)


def _items(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield type and value of each item; raises `ProtocolViolation` if one overruns what contains it."""
    at, end = 0, len(data)
    while at < end:
        if end - at < _ITEM.size:
            raise _invalid("an item that is cut off")
        kind, length = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        if length > end - at:
            raise _invalid("an item that overruns what contains it")
        yield kind, data[at : at + length]
        at += length


def _proposal(value: memoryview) -> Proposal:
    if len(value) < _PROPOSED.size:
        raise _invalid("a presentation context that is too short")
    (context_id,) = _PROPOSED.unpack_from(value)
    abstract_syntax, transfer_syntaxes = "", list[str]()
    for kind, syntax in _items(value[_PROPOSED.size :]):
        if kind == _TRANSFER_SYNTAX:
            transfer_syntaxes.append(_uid(syntax))
        elif kind == _ABSTRACT_SYNTAX:
            abstract_syntax = _uid(syntax)
    return Proposal(context_id, abstract_syntax, tuple(transfer_syntaxes))


def _decision(value: memoryview) -> Decision:
    if len(value) < _DECIDED.size:
        raise _invalid("a presentation context that is too short")
    context_id, result = _DECIDED.unpack_from(value)
    transfer_syntax = ""
    for kind, syntax in _items(value[_DECIDED.size :]):
        if kind == _TRANSFER_SYNTAX:
            transfer_syntax = _uid(syntax)
    return Decision(context_id, "", result, transfer_syntax)


class _UserInformation(NamedTuple):
    max_pdu_bytes: int
    roles: dict[str, Roles]
    extended: dict[str, bytes]


def _user_information(data: memoryview) -> _UserInformation:
    """Return maximum length, roles and extended negotiation; what else peers say of themselves steers nothing."""
    max_pdu_bytes, roles, extended = 0, dict[str, Roles](), dict[str, bytes]()
    for kind, value in _items(data):
        if kind == _MAXIMUM_LENGTH and len(value) == _LENGTH.size:
            (max_pdu_bytes,) = _LENGTH.unpack(value)
        elif kind == _ROLE_SELECTION:
            uid, granted = _role(value)
            roles[uid] = granted
        elif kind == _EXTENDED_NEGOTIATION:
            uid, rest = _of_sop_class(value, "an extended negotiation that is too short")
            extended[uid] = bytes(rest)
    return _UserInformation(max_pdu_bytes, roles, extended)


def _role(value: memoryview) -> tuple[str, Roles]:
    uid, rest = _of_sop_class(value, "a role selection that is too short")
    if len(rest) < 2:
        raise _invalid("a role selection that is too short")
    return uid, Roles(is_scu=rest[0] == 1, is_scp=rest[1] == 1)


def _of_sop_class(value: memoryview, complaint: str) -> tuple[str, memoryview]:
    """Return the SOP Class UID that a sub-item begins with, and the rest (PS3.7 tables D.3-9 and D.3-11)."""
    if len(value) < _SHORT.size or len(value) < _SHORT.size + _SHORT.unpack_from(value)[0]:
        raise _invalid(complaint)
    end = _SHORT.size + _SHORT.unpack_from(value)[0]
    return _uid(value[_SHORT.size : end]), value[end:]


def _uid(value: memoryview) -> str:
    return _text(bytes(value))


@lru_cache(maxsize=4096)
def _text(value: bytes) -> str:
    """Return a UID; the same few hundred come with every association."""
    return value.decode("ascii", "replace").strip(" \0")


def _invalid(message: str) -> ProtocolViolation:
    return ProtocolViolation(message, AbortReason.INVALID_PDU_PARAMETER_VALUE)


def encode_request(request: AssociateRequest, *, our_max_pdu_bytes: int) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU."""
    contexts = [
        _item(
            _PROPOSED_CONTEXT,
            _PROPOSED.pack(proposal.context_id)
            + _item(_ABSTRACT_SYNTAX, proposal.abstract_syntax.encode("ascii"))
            + b"".join(_item(_TRANSFER_SYNTAX, uid.encode("ascii")) for uid in proposal.transfer_syntaxes),
        )
        for proposal in request.proposals
    ]
    ours = _UserInformation(our_max_pdu_bytes, request.roles, request.extended)
    return _associate(PDUType.A_ASSOCIATE_RQ, request, contexts, ours)


def encode_accept(
    request: AssociateRequest,
    decisions: Iterable[Decision],
    roles: dict[str, Roles],
    extended: dict[str, bytes] | None = None,
    *,
    our_max_pdu_bytes: int,
) -> bytes:
    """Return the A-ASSOCIATE-AC PDU that answers a request. An answered role never exceeds the proposed one.

    A refused context carries a transfer syntax that is not significant (PS3.8 9.3.3.2).
    """
    contexts = [
        _item(
            _DECIDED_CONTEXT,
            _DECIDED.pack(decision.context_id, decision.result)
            + _item(_TRANSFER_SYNTAX, decision.transfer_syntax.encode("ascii")),
        )
        for decision in decisions
    ]
    ours = _UserInformation(our_max_pdu_bytes, roles, extended or {})
    return _associate(PDUType.A_ASSOCIATE_AC, request, contexts, ours)


def encode_rejection(rejection: Rejection) -> bytes:
    """Return an A-ASSOCIATE-RJ PDU."""
    body = bytes((0, rejection.result, rejection.source, rejection.reason))
    return HEADER.pack(PDUType.A_ASSOCIATE_RJ, len(body)) + body


def _associate(
    pdu_type: PDUType, request: AssociateRequest, contexts: list[bytes], ours: _UserInformation
) -> bytes:
    titles = (request.called_ae_title, request.calling_ae_title)
    called, calling = (title.encode("ascii", "replace").ljust(16) for title in titles)
    information = [
        _item(_MAXIMUM_LENGTH, _LENGTH.pack(ours.max_pdu_bytes)),
        _item(_IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_CLASS_UID.encode("ascii")),
        *(
            _sop_class_item(_ROLE_SELECTION, uid, bytes((granted.is_scu, granted.is_scp)))
            for uid, granted in ours.roles.items()
        ),
        _item(_IMPLEMENTATION_VERSION_NAME, IMPLEMENTATION_VERSION_NAME.encode("ascii")),
        *(_sop_class_item(_EXTENDED_NEGOTIATION, uid, said) for uid, said in ours.extended.items()),
    ]
    body = b"".join(
        (
            _FIXED.pack(_PROTOCOL_VERSION, 0, called, calling),
            _item(_APPLICATION_CONTEXT, APPLICATION_CONTEXT_NAME.encode("ascii")),
            *contexts,
            _item(_USER_INFORMATION, b"".join(information)),
        )
    )
    return HEADER.pack(pdu_type, len(body)) + body


def _sop_class_item(kind: int, uid: str, rest: bytes) -> bytes:
    return _item(kind, _SHORT.pack(len(uid)) + uid.encode("ascii") + rest)


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value
