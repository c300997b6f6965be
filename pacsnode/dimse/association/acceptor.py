"""The acceptor's answer to an A-ASSOCIATE-RQ: accept or reject (PS3.8 9.2.3). The request was read in the lobby."""

import time
from dataclasses import dataclass, field

from pacsnode.dimse.association.acse import (
    AssociateRequest,
    Decision,
    Rejection,
    Roles,
    encode_accept,
    encode_rejection,
)
from pacsnode.dimse.association.conversation import Context, Conversation, Parties
from pacsnode.dimse.association.reader import Reader
from pacsnode.dimse.association.transport import Transport
from pacsnode.dimse.rules import Terms

APPLICATION_CONTEXT_NOT_SUPPORTED = Rejection(1, 1, 2)
CALLING_AE_TITLE_NOT_RECOGNIZED = Rejection(1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNIZED = Rejection(1, 1, 7)
TEMPORARY_CONGESTION = Rejection(2, 3, 1)
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2)

_REJECTION_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is granted to a request: a decision for each proposal, in its order."""

    decisions: tuple[Decision, ...]
    contexts: dict[int, Context]
    roles: dict[str, Roles]
    extended: dict[str, bytes] = field(default_factory=dict)


def accept(
    transport: Transport,
    request: AssociateRequest,
    answer: Answer,
    *,
    association_id: str,
    peer_address: str,
    terms: Terms,
) -> Conversation:
    """Send the A-ASSOCIATE-AC and return the conversation that begins; raises `AssociationOver`."""
    max_pdu_bytes, timeouts = terms.rules.max_pdu_bytes, terms.rules.timeouts
    granted = encode_accept(
        request, answer.decisions, answer.roles, answer.extended, our_max_pdu_bytes=max_pdu_bytes
    )
    transport.send([granted], time.monotonic() + timeouts.acse)
    return Conversation(
        transport,
        Reader(transport, max_pdu_bytes=max_pdu_bytes),
        parties=Parties(association_id, request.calling_ae_title, request.called_ae_title, peer_address),
        contexts=answer.contexts,
        peer_max_pdu_bytes=request.max_pdu_bytes,
        timeouts=timeouts,
        terms=terms,
    )


def reject(transport: Transport, rejection: Rejection) -> None:
    """Send the A-ASSOCIATE-RJ and close; raises `AssociationOver`."""
    transport.send([encode_rejection(rejection)], time.monotonic() + _REJECTION_SECONDS)
    transport.finish(_REJECTION_SECONDS)
