"""The requestor's side of establishing an association (PS3.8 9.2.2)."""

import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from pacsnode.dimse.association.acse import (
    DEFAULT_ROLES,
    AssociateAccept,
    AssociateRequest,
    Proposal,
    Rejection,
    Roles,
    decode_accept,
    decode_rejection,
    encode_request,
)
from pacsnode.dimse.association.conversation import (
    Context,
    Conversation,
    Parties,
    abort_connection,
    aborted_by_peer,
)
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.dimse.association.reader import Reader
from pacsnode.dimse.association.secure import NameMismatch, SecureTransport, handshake, names_of, shown
from pacsnode.dimse.association.states import Action, State, on_pdu, unexpected
from pacsnode.dimse.association.transport import Transport
from pacsnode.dimse.rules import Timeouts
from pacsnode.errors import ConfigError, NetworkError
from pacsnode.tls import ClientTLS, client_context

MAX_CONTEXTS = 128  # presentation context IDs are the odd numbers of one byte

_TRANSIENT = 2  # PS3.8 table 9-21, the result

# PS3.8 table 9-21, in words, by source and reason.
_REJECTIONS = {
    (1, 1): "no reason given",
    (1, 2): "application context not supported",
    (1, 3): "it does not know our AE title",
    (1, 7): "it does not answer to the AE title that was called",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "its limit of associations is reached",
}


@dataclass(frozen=True, slots=True)
class Remote:
    """An Application Entity to call, with TLS if it says how."""

    ae_title: str
    host: str
    port: int
    tls: ClientTLS | None = None

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


class Rejected(NetworkError):
    """The association was rejected; `is_temporary` if the peer says that it may accept one later (PS3.8 9.3.4)."""

    def __init__(self, message: str, *, is_temporary: bool) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary


@dataclass(frozen=True, slots=True)
class Caller:
    """How we call: our AE title, the longest PDU that we take, and how long we wait."""

    ae_title: str = "PACSNODE"
    max_pdu_bytes: int = 262_144
    acse_timeout_seconds: float = 10.0
    dimse_timeout_seconds: float = 120.0


def associate(
    caller: Caller,
    remote: Remote,
    contexts: Sequence[tuple[str, tuple[str, ...]]],
    *,
    roles: dict[str, Roles] | None = None,
    extended: dict[str, bytes] | None = None,
    association_id: str = "",
) -> Conversation:
    """Connect and negotiate; `contexts` are up to 128 abstract syntaxes with the transfer syntaxes to offer.

    `roles` and `extended` are proposed by abstract syntax.

    Raises `NetworkError` with the reason in words.
    """
    assert len(contexts) <= MAX_CONTEXTS
    deadline = time.monotonic() + caller.acse_timeout_seconds
    request = AssociateRequest(
        called_ae_title=remote.ae_title,
        calling_ae_title=caller.ae_title,
        application_context_name="",
        proposals=tuple(
            Proposal(2 * at + 1, abstract_syntax, transfer_syntaxes)
            for at, (abstract_syntax, transfer_syntaxes) in enumerate(contexts)
        ),
        max_pdu_bytes=0,
        roles=roles or {},
        extended=extended or {},
    )
    transport = _transport(remote, caller.acse_timeout_seconds, deadline)
    reader = Reader(transport, max_pdu_bytes=caller.max_pdu_bytes)
    try:
        transport.send([encode_request(request, our_max_pdu_bytes=caller.max_pdu_bytes)], deadline)
        accept = _answer(reader, deadline, remote)
    except AssociationOver as over:
        abort_connection(transport, over)
        raise NetworkError(f"{remote}: no association: {over}") from over
    except NetworkError:
        transport.close()
        raise
    return Conversation(
        transport,
        reader,
        parties=Parties(association_id, caller.ae_title, remote.ae_title, f"{remote.host}:{remote.port}"),
        contexts=_accepted(request, accept),
        peer_max_pdu_bytes=accept.max_pdu_bytes,
        timeouts=Timeouts(
            acse=caller.acse_timeout_seconds,
            dimse=caller.dimse_timeout_seconds,
            network=caller.dimse_timeout_seconds,
        ),
    )


def _transport(remote: Remote, seconds: float, deadline: float) -> Transport:
    if remote.tls is None:
        return Transport(_connect(remote, seconds))
    try:
        context = client_context(remote.tls)
    except ConfigError as error:
        raise NetworkError(f"{remote}: no TLS: {error}") from error
    try:
        return SecureTransport(_secured(remote, context, seconds, deadline))
    except NameMismatch as error:
        names = _names(remote, context, deadline)
        raise NetworkError(
            f"{remote}: no TLS: its certificate is for {names}, not for {remote.host}"
        ) from error


def _secured(remote: Remote, context: ssl.SSLContext, seconds: float, deadline: float) -> ssl.SSLSocket:
    assert remote.tls is not None
    connection = _connect(remote, seconds)
    try:
        return handshake(connection, remote.host, context, deadline, subject=remote.tls.subject)
    except NameMismatch:
        raise
    except NetworkError as error:
        raise NetworkError(f"{remote}: {error}") from error


def _names(remote: Remote, context: ssl.SSLContext, deadline: float) -> str:
    """Return what the peer's certificate is for; a handshake that fails does not tell, so this is one more."""
    context.check_hostname = False
    with suppress(NetworkError):
        left = max(0.001, deadline - time.monotonic())
        with closing(_secured(remote, context, left, deadline)) as secured:
            return shown(names_of(secured))
    return "another host"


def _connect(remote: Remote, seconds: float) -> socket.socket:
    try:
        return socket.create_connection((remote.host, remote.port), timeout=seconds)
    except TimeoutError as error:
        raise NetworkError(f"{remote}: no connection within {seconds:g} s") from error
    except OSError as error:
        raise NetworkError(f"{remote}: no connection: {error.strerror or error}") from error
    except UnicodeError as error:  # what the socket module makes of a label that is none
        raise NetworkError(f"{remote}: no connection: not a host name") from error


def _answer(reader: Reader, deadline: float, remote: Remote) -> AssociateAccept:
    pdu_type, length = reader.first_pdu(deadline)
    action, _ = on_pdu(State.AWAITING_ANSWER, pdu_type)
    if action is Action.AA_8:
        raise unexpected(pdu_type, "instead of an answer")
    body = reader.body(length)
    if action is Action.AE_3:
        return decode_accept(body)
    if action is Action.AE_4:
        rejection = decode_rejection(body)
        words = f"{remote}: association rejected{_in_words(rejection)}"
        raise Rejected(words, is_temporary=rejection.result == _TRANSIENT)
    raise aborted_by_peer(body)


def _in_words(rejection: Rejection) -> str:
    is_temporary = " for now" if rejection.result == _TRANSIENT else ""
    reason = _REJECTIONS.get((rejection.source, rejection.reason), "no known reason")
    return f"{is_temporary}: {reason} ({rejection.result}/{rejection.source}/{rejection.reason})"


def _accepted(request: AssociateRequest, accept: AssociateAccept) -> dict[int, Context]:
    proposals = {proposal.context_id: proposal for proposal in request.proposals}
    contexts = {}
    for decision in accept.decisions:
        proposal = proposals.get(decision.context_id)
        if (
            proposal is None
            or decision.result != 0
            or decision.transfer_syntax not in proposal.transfer_syntaxes
        ):
            continue
        proposed = request.roles.get(proposal.abstract_syntax)
        answered = accept.roles.get(proposal.abstract_syntax)
        roles = DEFAULT_ROLES
        if proposed is not None and answered is not None:
            roles = Roles(
                is_scu=proposed.is_scu and answered.is_scu, is_scp=proposed.is_scp and answered.is_scp
            )
        proposed_options = request.extended.get(proposal.abstract_syntax, b"")
        contexts[decision.context_id] = Context(
            decision.context_id,
            proposal.abstract_syntax,
            decision.transfer_syntax,
            roles,
            _agreed(proposed_options, accept.extended.get(proposal.abstract_syntax, b"")),
        )
    return contexts


def _agreed(proposed: bytes, answered: bytes) -> bytes:
    """Return an answer without what was not proposed: it cannot be agreed upon."""
    return bytes(answer if asked else 0 for asked, answer in zip(proposed, answered, strict=False))
