"""A-ASSOCIATE PDUs to values and back, by pynetdicom's codecs (PS3.8 9.3.2 to 9.3.4, PS3.7 annex D).

pynetdicom's own negotiation is bound to its `Association`, whose two polling threads are what costs; only its
PDU classes and primitives are used here, all of them public. What they do not take is put right before they
see it: AE titles padded with NULs. Whatever they raise on garbage becomes `ProtocolViolation`.
"""

import struct
from dataclasses import dataclass, field

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from pacsnode.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacsnode.dimse.association.endings import AbortReason, ProtocolViolation
from pacsnode.dimse.association.pdu import HEADER, PDUType

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"

_FIXED_BYTES = 68


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
    """What an A-ASSOCIATE-RQ asks for. `max_pdu_bytes` 0 is no limit."""

    called_ae_title: str
    calling_ae_title: str
    application_context_name: str
    proposals: tuple[Proposal, ...]
    max_pdu_bytes: int
    roles: dict[str, Roles] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one proposal: result 0 accepts, others refuse (PS3.8 table 9-18)."""

    context_id: int
    abstract_syntax: str
    result: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """What an A-ASSOCIATE-AC grants; `roles` holds only what was answered."""

    decisions: tuple[Decision, ...]
    max_pdu_bytes: int
    roles: dict[str, Roles] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int


def decode_request(body: bytes) -> AssociateRequest:
    """Read the body of an A-ASSOCIATE-RQ; raises `ProtocolViolation`."""
    if len(body) < _FIXED_BYTES:
        raise ProtocolViolation("A-ASSOCIATE-RQ is too short", AbortReason.INVALID_PDU_PARAMETER_VALUE)
    called, calling = _title(body[4:20]), _title(body[20:36])
    titles = called.ljust(16) + calling.ljust(16)
    primitive = _decode(A_ASSOCIATE_RQ, PDUType.A_ASSOCIATE_RQ, body[:4] + titles.encode("ascii") + body[36:])
    proposals = tuple(
        Proposal(
            int(context.context_id or 0),
            str(context.abstract_syntax or ""),
            tuple(map(str, context.transfer_syntax)),
        )
        for context in primitive.presentation_context_definition_list
    )
    if len({proposal.context_id for proposal in proposals}) != len(proposals):
        raise ProtocolViolation("a presentation context ID twice", AbortReason.INVALID_PDU_PARAMETER_VALUE)
    return AssociateRequest(
        called_ae_title=called,
        calling_ae_title=calling,
        application_context_name=str(primitive.application_context_name or ""),
        proposals=proposals,
        max_pdu_bytes=_max_pdu_bytes(primitive),
        roles=_roles(primitive),
    )


def _title(raw: bytes) -> str:
    """Return an AE title without padding; what cannot stand in one (PS3.5 6.2) becomes `?`, and so matches no peer.

    pynetdicom would log such a title as it is, control characters included.
    """
    text = raw.replace(b"\0", b" ").decode("latin-1")
    return "".join(char if " " <= char <= "~" and char != "\\" else "?" for char in text).strip()


def decode_accept(body: bytes) -> AssociateAccept:
    """Read the body of an A-ASSOCIATE-AC; raises `ProtocolViolation`."""
    primitive = _decode(A_ASSOCIATE_AC, PDUType.A_ASSOCIATE_AC, body)
    decisions = tuple(
        Decision(
            context_id=int(context.context_id or 0),
            abstract_syntax="",
            result=int(context.result or 0),
            transfer_syntax=str(context.transfer_syntax[0]) if context.transfer_syntax else "",
        )
        for context in primitive.presentation_context_definition_results_list
    )
    return AssociateAccept(decisions, _max_pdu_bytes(primitive), _roles(primitive))


def decode_rejection(body: bytes) -> Rejection:
    """Read the body of an A-ASSOCIATE-RJ, whose length was checked."""
    return Rejection(*body[1:4])


def encode_request(request: AssociateRequest, *, our_max_pdu_bytes: int) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU."""
    primitive = _primitive(request, our_max_pdu_bytes)
    primitive.user_information += [_role(uid, roles) for uid, roles in request.roles.items()]
    primitive.presentation_context_definition_list = [
        _context(p.context_id, p.abstract_syntax, p.transfer_syntaxes) for p in request.proposals
    ]
    return _encode(A_ASSOCIATE_RQ, primitive)


def encode_accept(
    request: AssociateRequest,
    decisions: tuple[Decision, ...],
    roles: dict[str, Roles],
    *,
    our_max_pdu_bytes: int,
) -> bytes:
    """Return the A-ASSOCIATE-AC PDU for a request. An answered role never exceeds the proposed one."""
    primitive = _primitive(request, our_max_pdu_bytes)
    primitive.user_information += [_role(uid, granted) for uid, granted in roles.items()]
    primitive.result, primitive.result_source = 0, 1
    results = []
    for decision in decisions:
        # A refused context carries a transfer syntax that is not significant (PS3.8 9.3.3.2).
        context = _context(decision.context_id, decision.abstract_syntax, (decision.transfer_syntax,))
        context.result = decision.result
        results.append(context)
    primitive.presentation_context_definition_results_list = results
    return _encode(A_ASSOCIATE_AC, primitive)


def encode_rejection(rejection: Rejection) -> bytes:
    """Return an A-ASSOCIATE-RJ PDU."""
    body = bytes((0, rejection.result, rejection.source, rejection.reason))
    return HEADER.pack(PDUType.A_ASSOCIATE_RJ, len(body)) + body


def _decode(codec: type, pdu_type: PDUType, body: bytes) -> A_ASSOCIATE:
    pdu = codec()
    try:
        pdu.decode(HEADER.pack(pdu_type, len(body)) + body)
        primitive: A_ASSOCIATE = pdu.to_primitive()
        return primitive
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        NotImplementedError,
        struct.error,
    ) as error:
        raise ProtocolViolation(
            f"{pdu_type.name} cannot be decoded", AbortReason.INVALID_PDU_PARAMETER_VALUE
        ) from error


def _encode(codec: type, primitive: A_ASSOCIATE) -> bytes:
    pdu = codec()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def _primitive(request: AssociateRequest, our_max_pdu_bytes: int) -> A_ASSOCIATE:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT_NAME
    primitive.calling_ae_title = request.calling_ae_title or " "
    primitive.called_ae_title = request.called_ae_title or " "
    length = MaximumLengthNotification()
    length.maximum_length_received = our_max_pdu_bytes
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    primitive.user_information = [length, implementation, version]
    return primitive


def _context(
    context_id: int, abstract_syntax: str, transfer_syntaxes: tuple[str, ...]
) -> PresentationContext:
    context = PresentationContext()
    context.context_id = context_id
    context.abstract_syntax = abstract_syntax
    context.transfer_syntax = list(transfer_syntaxes)
    return context


def _role(uid: str, roles: Roles) -> SCP_SCU_RoleSelectionNegotiation:
    item = SCP_SCU_RoleSelectionNegotiation()
    item.sop_class_uid, item.scu_role, item.scp_role = uid, roles.is_scu, roles.is_scp
    return item


def _roles(primitive: A_ASSOCIATE) -> dict[str, Roles]:
    return {
        str(item.sop_class_uid): Roles(is_scu=bool(item.scu_role), is_scp=bool(item.scp_role))
        for item in primitive.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
    }


def _max_pdu_bytes(primitive: A_ASSOCIATE) -> int:
    for item in primitive.user_information:
        if isinstance(item, MaximumLengthNotification):
            return int(item.maximum_length_received or 0)
    return 0
