"""Which presentation contexts are accepted, in which transfer syntax and roles: a pure rule over tables.

What the caller may not do is refused as `user-rejection`, what the node does not offer to anybody as
`abstract-syntax-not-supported` (PS3.8 table 9-18). Among the transfer syntaxes of one context the requestor's
order counts, but Explicit VR goes before Implicit VR, and Big Endian after both (`DICOM.md` of the design;
PS3.5 10.1). Options of the Query/Retrieve classes are answered as `extended` has it, where a context was accepted.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import lru_cache

from pynetdicom import sop_class

from pacsnode.access.peer import Service
from pacsnode.dicom.convertible import can_convert
from pacsnode.dicom.query import InformationModel, Options
from pacsnode.dicom.uid import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_accepted_transfer_syntax,
    is_storage_sop_class,
    validated,
)
from pacsnode.dimse import extended
from pacsnode.dimse.association.acceptor import Answer
from pacsnode.dimse.association.acse import DEFAULT_ROLES, AssociateRequest, Decision, Proposal, Roles
from pacsnode.dimse.association.conversation import Context
from pacsnode.errors import InvalidUID


def _uid(keyword: str) -> str:
    """Return a SOP Class UID by its keyword; pynetdicom makes these names when it is imported."""
    return str(getattr(sop_class, keyword))


VERIFICATION = _uid("Verification")

FIND_MODELS = {
    _uid("PatientRootQueryRetrieveInformationModelFind"): InformationModel.PATIENT_ROOT,
    _uid("StudyRootQueryRetrieveInformationModelFind"): InformationModel.STUDY_ROOT,
}
MOVE_MODELS = {
    _uid("PatientRootQueryRetrieveInformationModelMove"): InformationModel.PATIENT_ROOT,
    _uid("StudyRootQueryRetrieveInformationModelMove"): InformationModel.STUDY_ROOT,
}
GET_MODELS = {
    _uid("PatientRootQueryRetrieveInformationModelGet"): InformationModel.PATIENT_ROOT,
    _uid("StudyRootQueryRetrieveInformationModelGet"): InformationModel.STUDY_ROOT,
}

_SERVICES = (
    {VERIFICATION: Service.ECHO}
    | dict.fromkeys(FIND_MODELS, Service.FIND)
    | dict.fromkeys(MOVE_MODELS, Service.MOVE)
    | dict.fromkeys(GET_MODELS, Service.GET)
)
_OPTIONS = dict.fromkeys(FIND_MODELS, extended.FIND) | dict.fromkeys(
    (*MOVE_MODELS, *GET_MODELS), extended.RETRIEVE
)
_UNCOMPRESSED = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)


class Result(IntEnum):
    """Result of a presentation context (PS3.8 table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


def services_proposed(request: AssociateRequest) -> frozenset[Service]:
    """Return the services that a requestor would use the contexts that it proposes for."""
    services = set[Service]()
    for proposal in request.proposals:
        service = _SERVICES.get(proposal.abstract_syntax)
        if service is not None:
            services.add(service)
        elif request.roles.get(proposal.abstract_syntax, DEFAULT_ROLES).is_scu:
            services.add(Service.STORE)
    return frozenset(services)


def negotiate(
    request: AssociateRequest,
    may: Callable[[Service], bool],
    *,
    private_sop_classes: bool,
    preferred: Sequence[str] = (),
) -> Answer:
    """Decide on each proposed context. `may` tells what the caller is allowed, `preferred` what it is to be sent in."""
    decisions, contexts, roles = [], {}, {}
    for proposal in request.proposals:
        proposed = request.roles.get(proposal.abstract_syntax, DEFAULT_ROLES)
        result, transfer_syntax, granted = _decide(
            proposal, proposed, may, private_sop_classes=private_sop_classes, preferred=preferred
        )
        if result is Result.ACCEPTANCE:
            contexts[proposal.context_id] = Context(
                proposal.context_id,
                proposal.abstract_syntax,
                transfer_syntax,
                granted,
                extended.answer(
                    request.extended.get(proposal.abstract_syntax, b""),
                    _OPTIONS.get(proposal.abstract_syntax, ()),
                ),
            )
            if proposal.abstract_syntax in request.roles:
                roles[proposal.abstract_syntax] = granted
        decisions.append(
            Decision(
                proposal.context_id,
                proposal.abstract_syntax,
                result,
                transfer_syntax or IMPLICIT_VR_LITTLE_ENDIAN,
            )
        )
    used = {context.abstract_syntax: context.extended for context in contexts.values() if context.extended}
    return Answer(tuple(decisions), contexts, roles, used)


def options_of(context: Context) -> Options:
    """Return what was agreed upon for the SOP class of a context; nothing for one without such options."""
    return extended.agreed(context.extended, _OPTIONS.get(context.abstract_syntax, ()))


def _decide(
    proposal: Proposal,
    proposed: Roles,
    may: Callable[[Service], bool],
    *,
    private_sop_classes: bool,
    preferred: Sequence[str],
) -> tuple[Result, str, Roles]:
    service = _SERVICES.get(proposal.abstract_syntax)
    if service is not None:
        usable = [uid for uid in _UNCOMPRESSED if uid in proposal.transfer_syntaxes]
        granted = Roles(is_scu=proposed.is_scu and may(service), is_scp=False)
    elif _is_kept(proposal.abstract_syntax, private=private_sop_classes):
        granted = Roles(
            is_scu=proposed.is_scu and may(Service.STORE), is_scp=proposed.is_scp and may(Service.GET)
        )
        usable = _storage_transfer_syntaxes(
            proposal.transfer_syntaxes, is_sent_to_us=proposed.is_scu, preferred=preferred
        )
    else:
        return Result.ABSTRACT_SYNTAX_NOT_SUPPORTED, "", proposed
    if not (granted.is_scu or granted.is_scp):
        return Result.USER_REJECTION, "", granted
    if not usable:
        return Result.TRANSFER_SYNTAXES_NOT_SUPPORTED, "", granted
    return Result.ACCEPTANCE, usable[0], granted


def _is_kept(abstract_syntax: str, *, private: bool) -> bool:
    return is_storage_sop_class(abstract_syntax, private=private) and _is_uid(abstract_syntax)


@lru_cache(maxsize=1024)
def _is_uid(text: str) -> bool:
    """Return whether this is a UID; the same few hundred come with every association."""
    try:
        return validated(text) == text
    except InvalidUID:
        return False


def _storage_transfer_syntaxes(
    offered: Sequence[str], *, is_sent_to_us: bool, preferred: Sequence[str]
) -> list[str]:
    """Return the offered transfer syntaxes that can be used, the one to choose first.

    What is sent to us is taken in the requestor's order. What we send goes in what the peer is to be sent in, else
    uncompressed if that is offered, since a stored instance can always be brought into it.
    """
    accepted = [uid for uid in offered if is_accepted_transfer_syntax(uid) and _is_uid(uid)]
    if not is_sent_to_us and (wanted := [uid for uid in preferred if uid in accepted]):
        return wanted
    uncompressed = [uid for uid in _UNCOMPRESSED if uid in accepted]
    if accepted and not is_sent_to_us and not can_convert(accepted[0], EXPLICIT_VR_LITTLE_ENDIAN):
        return accepted  # a video, of which nothing else is made: it was not put first for nothing
    if uncompressed and (not is_sent_to_us or accepted[0] in _UNCOMPRESSED):
        return uncompressed
    return accepted
