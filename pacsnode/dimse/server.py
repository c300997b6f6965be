"""The listening side: a lobby until the request is there, then one thread per association, which answers and serves it.

The thread is the named boundary where an unexpected exception of one association ends: it is logged, the
association aborted, and nothing else is touched. A place is held from the accepted request to the end of the
association, so that a connection that closes at once frees its place at once.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from pacsnode.accepting import Turns, listening_socket
from pacsnode.access.policy import Claim, Refusal, Refused, Rights
from pacsnode.dicom.uid import is_storage_sop_class
from pacsnode.dimse.admission import Admission, Place, Reached
from pacsnode.dimse.association import acceptor
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Rejection,
    decode_request,
    encode_rejection,
)
from pacsnode.dimse.association.command import CommandField, response
from pacsnode.dimse.association.conversation import Conversation, Message, abort_connection
from pacsnode.dimse.association.endings import AssociationOver, PeerAborted
from pacsnode.dimse.association.lobby import Address, Lobby
from pacsnode.dimse.association.pdu import HEADER
from pacsnode.dimse.association.transport import Transport
from pacsnode.dimse.contexts import (
    FIND_MODELS,
    GET_MODELS,
    MOVE_MODELS,
    VERIFICATION,
    negotiate,
    services_proposed,
)
from pacsnode.dimse.host_names import HostNames
from pacsnode.dimse.rules import Rules, Terms
from pacsnode.dimse.scp import SCP
from pacsnode.dimse.status import GeneralStatus
from pacsnode.observe import (
    NODE_STOPS,
    AssociationAccepted,
    AssociationEnded,
    AssociationRejected,
    ConnectionProbed,
    Observer,
    current_association,
)

log = logging.getLogger(__name__)

_ABANDON_SECONDS = 5.0


_REJECTIONS = {
    Refusal.CALLED: acceptor.CALLED_AE_TITLE_NOT_RECOGNIZED,
    Refusal.CALLING: acceptor.CALLING_AE_TITLE_NOT_RECOGNIZED,
}

__all__ = ["DimseServer", "Rules", "SCPs"]


@dataclass(frozen=True, slots=True)
class _Adopted:
    """Rules, and the addresses of the host names in them."""

    rules: Rules
    names: HostNames


@dataclass(frozen=True, slots=True)
class SCPs:
    """The service class providers of a node; what it does not provide is an unrecognized operation."""

    verification: SCP
    storage: SCP
    query: SCP | None = None
    get: SCP | None = None
    move: SCP | None = None

    def by_operation(self) -> Mapping[tuple[str, int], SCP]:
        """Return which SCP serves which command in contexts of which abstract syntax; storage is left out."""
        table: dict[tuple[str, int], SCP | None] = {(VERIFICATION, CommandField.C_ECHO): self.verification}
        table |= {(uid, CommandField.C_FIND): self.query for uid in FIND_MODELS}
        table |= {(uid, CommandField.C_GET): self.get for uid in GET_MODELS}
        table |= {(uid, CommandField.C_MOVE): self.move for uid in MOVE_MODELS}
        return {operation: scp for operation, scp in table.items() if scp is not None}


class DimseServer:
    """Listens and serves. `start` once, `stop` once."""

    def __init__(
        self,
        rules: Rules,
        scps: SCPs,
        observer: Observer,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        admission: Admission | None = None,
    ) -> None:
        """Listen on `host` and `port`, unless `start` gets a socket; `admission` may count for several servers."""
        self._adopted = _adopted(rules)
        self._address = (host, port)
        self._storage = scps.storage
        self._operations = scps.by_operation()
        self._observer = observer
        self._shared_admission = admission
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, Transport] = {}
        self._stop_descriptor = -1
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._turns = Turns()
        self._lobby: Lobby | None = None

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    @property
    def rules(self) -> Rules:
        """The rules that the next association is accepted by."""
        return self._adopted.rules

    def adopt(self, rules: Rules) -> None:
        """Accept associations by other rules from now on; those that are there keep theirs."""
        self._adopted = _adopted(rules)
        if self._lobby is not None:
            self._lobby.adopt(capacity=rules.limits.pre_association, seconds=rules.timeouts.acse)

    def start(self, listening: socket.socket | None = None, turns: Turns | None = None) -> None:
        """Listen, on a socket that listens already if there is one; raises `OSError` (address taken).

        `turns` are taken with other processes that accept on the same socket.
        """
        host, port = self._address
        if listening is None:
            listening = listening_socket(host, port)
        self._socket = listening
        self._turns = turns or Turns()
        self._stop_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._admission = self._shared_admission or Admission()
        rules = self.rules
        self._lobby = Lobby(
            self._socket,
            enter=self._enter,
            leave=self._leave,
            probed=self._probed,
            capacity=rules.limits.pre_association,
            seconds=rules.timeouts.acse,
            turns=self._turns,
        )
        self._lobby.start()

    def is_accepting(self) -> bool:
        """Return whether the lobby has moved since this was asked last, and wake it so that it does."""
        assert self._lobby is not None
        return self._lobby.has_moved()

    def stop(self, grace_seconds: float) -> None:
        """Stop accepting, let operations in flight finish within the grace, then cut off what is left."""
        self._stopping.set()
        assert self._lobby is not None
        self._lobby.stop()
        os.eventfd_write(self._stop_descriptor, 1)
        deadline = time.monotonic() + grace_seconds
        for is_last in (False, True):
            for thread, transport in self._current():
                if is_last:
                    transport.cut()
                thread.join(max(0.0, deadline - time.monotonic()))
            deadline += _ABANDON_SECONDS
        if not self._current():
            os.close(self._stop_descriptor)
            if self._shared_admission is None:
                self._admission.close()

    def _current(self) -> list[tuple[threading.Thread, Transport]]:
        with self._lock:
            return list(self._connections.items())

    # In the lobby's thread

    def _leave(self, address: Address, reason: str) -> None:
        self._observer(AssociationRejected("", "", "", str(address), reason))

    def _probed(self, address: Address) -> None:
        self._observer(ConnectionProbed(str(address)))

    def _enter(self, connection: socket.socket, address: Address, body: bytes) -> None:
        transport = Transport(connection, stop_descriptor=self._stop_descriptor)
        transport.bytes_received = HEADER.size + len(body)
        thread = threading.Thread(
            target=self._run, args=(transport, address, body), name=f"association-{address}", daemon=True
        )
        with self._lock:
            self._connections[thread] = transport
        try:
            thread.start()
        except RuntimeError:  # no thread to be had
            with self._lock:
                del self._connections[thread]
            with suppress(AssociationOver):
                transport.send([encode_rejection(acceptor.TEMPORARY_CONGESTION)], time.monotonic())
            transport.close()
            self._turns.left()
            self._leave(address, "no thread left")

    # In the association's thread

    def _run(self, transport: Transport, address: Address, body: bytes) -> None:
        association_id = secrets.token_hex(4)
        current_association.set(association_id)
        try:
            self._answer(transport, association_id, address, body)
        except Exception:  # the named boundary of an association
            log.exception("unexpected error, the association is aborted")
            abort_connection(transport, None)
        finally:
            transport.close()
            self._turns.left()
            with self._lock:
                del self._connections[threading.current_thread()]

    def _answer(self, transport: Transport, association_id: str, address: Address, body: bytes) -> None:
        calling, called = "", ""
        try:
            request = decode_request(body)
            calling, called = request.calling_ae_title, request.called_ae_title
            admitted = self._admitted(request, address)
            if isinstance(admitted, _Rejected):
                acceptor.reject(transport, admitted.rejection)
                self._observer(
                    AssociationRejected(association_id, calling, called, str(address), admitted.reason)
                )
                return
        except AssociationOver as over:
            abort_connection(transport, over)
            self._observer(AssociationRejected(association_id, calling, called, str(address), str(over)))
            return
        terms, place = admitted
        try:
            self._serve(transport, request, association_id, address, terms)
        finally:
            self._admission.give_back(place)

    def _admitted(self, request: AssociateRequest, address: Address) -> "tuple[Terms, Place] | _Rejected":
        """Return the terms of an association and the place that it has taken, or why it is rejected."""
        terms = _judged(self._adopted, request, address)
        if isinstance(terms, _Rejected):
            return terms
        if self._stopping.is_set():
            return _Rejected(acceptor.LOCAL_LIMIT_EXCEEDED, NODE_STOPS)
        rights, peer = terms.rights, terms.rights.peer
        taken = self._admission.take(
            address.host,
            rights.calling_ae_title,
            terms.rules.limits,
            max_of_peer=0 if peer is None else peer.max_associations,
            peer_key="" if peer is None else f"peers.{peer.name}.max_associations",
        )
        if isinstance(taken, Reached):
            return _Rejected(acceptor.LOCAL_LIMIT_EXCEEDED, f"{taken.key} reached")
        return terms, taken

    def _serve(
        self,
        transport: Transport,
        request: AssociateRequest,
        association_id: str,
        address: Address,
        terms: Terms,
    ) -> None:
        started, operations, ending = time.monotonic(), 0, "released"
        rights = terms.rights
        answer = negotiate(
            request,
            rights.may,
            private_sop_classes=terms.rules.private_sop_classes,
            preferred=() if rights.peer is None else rights.peer.transfer_syntaxes,
        )
        parties = (association_id, request.calling_ae_title, request.called_ae_title, str(address))
        self._observer(AssociationAccepted(*parties))
        try:
            conversation = acceptor.accept(
                transport,
                request,
                answer,
                association_id=association_id,
                peer_address=str(address),
                terms=terms,
            )
            while (message := conversation.receive()) is not None:
                operations += 1
                self._dispatch(conversation, message)
        except AssociationOver as over:
            ending = "aborted" if isinstance(over, PeerAborted) else str(over)
            abort_connection(transport, over)
        except BaseException:
            ending = "unexpected error"
            raise
        finally:
            self._observer(
                AssociationEnded(
                    association_id=association_id,
                    calling_ae_title=request.calling_ae_title,
                    called_ae_title=request.called_ae_title,
                    peer_address=str(address),
                    ending=ending,
                    seconds=time.monotonic() - started,
                    contexts_accepted=len(answer.contexts),
                    contexts_rejected=len(answer.decisions) - len(answer.contexts),
                    operations=operations,
                    bytes_received=transport.bytes_received,
                    bytes_sent=transport.bytes_sent,
                    refused=_refused(request, answer, terms.rights),
                )
            )

    def _dispatch(self, conversation: Conversation, message: Message) -> None:
        field, abstract_syntax = message.command.field, message.context.abstract_syntax
        scp = self._operations.get((abstract_syntax, field))
        if scp is None and field == CommandField.C_STORE and is_storage_sop_class(abstract_syntax):
            scp = self._storage
        if scp is None:
            conversation.skip_data_set()
            refusal = response(message.command, GeneralStatus.UNRECOGNIZED_OPERATION)
            conversation.respond(message.context, refusal)
            return
        scp.serve(conversation, message)


@dataclass(frozen=True, slots=True)
class _Rejected:
    """How an association is rejected, and why, for the log."""

    rejection: Rejection
    reason: str


def _adopted(rules: Rules) -> _Adopted:
    """Return the rules with the look-up of their host names begun, so that nobody has to wait for it."""
    names = HostNames()
    names.look_up(rules.policy.host_names)
    return _Adopted(rules, names)


def _judged(adopted: _Adopted, request: AssociateRequest, address: Address) -> Terms | _Rejected:
    """Return the terms of an association, or why its request is rejected, whoever else is there."""
    if request.application_context_name != APPLICATION_CONTEXT_NAME:
        return _Rejected(acceptor.APPLICATION_CONTEXT_NOT_SUPPORTED, "application context not supported")
    policy = adopted.rules.policy
    claim = Claim(request.calling_ae_title, request.called_ae_title, address.host)
    rights = policy.admit(claim, adopted.names.addresses(policy.host_names_for(claim)))
    if isinstance(rights, Refused):
        return _Rejected(_REJECTIONS[rights.refusal], f"{rights.refusal.value}: {rights.rule}")
    return Terms(adopted.rules, rights)


def _refused(request: AssociateRequest, answer: acceptor.Answer, rights: Rights) -> str:
    """Return the rule by which services that were proposed are refused, "" if none is."""
    if len(answer.contexts) == len(answer.decisions):
        return ""
    return rights.refused(services_proposed(request))
