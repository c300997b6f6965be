"""The acceptor's side of establishing an association (PS3.8 9.2.3): request in, accept or reject out."""

from collections.abc import Callable
from dataclasses import dataclass

from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Decision,
    Rejection,
    Roles,
    decode_request,
    encode_accept,
    encode_rejection,
)
from pacsnode.dimse.association.conversation import Context, Conversation, Parties, Timeouts
from pacsnode.dimse.association.endings import AbortReason, PeerAborted, ProtocolViolation
from pacsnode.dimse.association.pdu import PDUType
from pacsnode.dimse.association.reader import Reader
from pacsnode.dimse.association.transport import Transport

APPLICATION_CONTEXT_NOT_SUPPORTED = Rejection(1, 1, 2)
CALLING_AE_TITLE_NOT_RECOGNIZED = Rejection(1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNIZED = Rejection(1, 1, 7)
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2)

_REJECTION_SECONDS = 1.0


class Rejected(Exception):
    """The association was refused; an ordinary outcome, no error of the node."""

    def __init__(self, rejection: Rejection, why: str, request: AssociateRequest) -> None:
        super().__init__(why)
        self.rejection = rejection
        self.request = request


@dataclass(frozen=True, slots=True)
class Answer:
    """What is granted to a request: a decision for each proposal, in its order."""

    decisions: tuple[Decision, ...]
    contexts: dict[int, Context]
    roles: dict[str, Roles]


def accept(
    transport: Transport,
    decide: Callable[[AssociateRequest], Answer],
    *,
    association_id: str,
    peer_address: str,
    max_pdu_bytes: int,
    timeouts: Timeouts,
    deadline: float,
) -> Conversation:
    """Read an A-ASSOCIATE-RQ by the deadline and answer it.

    `decide` grants, or raises `Rejected`: then the A-ASSOCIATE-RJ is sent, the connection closed and the
    exception passed on. Raises `AssociationOver` if there is no request to answer.
    """
    reader = Reader(transport, max_pdu_bytes=max_pdu_bytes)
    request = _request(reader, deadline)
    try:
        if request.application_context_name != APPLICATION_CONTEXT_NAME:
            raise Rejected(APPLICATION_CONTEXT_NOT_SUPPORTED, "application context not supported", request)
        answer = decide(request)
    except Rejected as rejected:
        transport.send([encode_rejection(rejected.rejection)], deadline)
        transport.finish(_REJECTION_SECONDS)
        raise
    granted = encode_accept(request, answer.decisions, answer.roles, our_max_pdu_bytes=max_pdu_bytes)
    transport.send([granted], deadline)
    return Conversation(
        transport,
        reader,
        parties=Parties(association_id, request.calling_ae_title, request.called_ae_title, peer_address),
        contexts=answer.contexts,
        peer_max_pdu_bytes=request.max_pdu_bytes,
        timeouts=timeouts,
    )


def _request(reader: Reader, deadline: float) -> AssociateRequest:
    pdu_type, length = reader.first_pdu(deadline)
    if pdu_type == PDUType.A_ASSOCIATE_RQ:
        return decode_request(reader.body(length))
    if pdu_type == PDUType.A_ABORT:
        raise PeerAborted("aborted before association")
    raise ProtocolViolation(f"{PDUType(pdu_type).name} before association", AbortReason.UNEXPECTED_PDU)
