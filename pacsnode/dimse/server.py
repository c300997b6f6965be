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

from pacsnode.access.peer import comparable_ae_title
from pacsnode.access.policy import Allowed, Policy, Refused
from pacsnode.dicom.uid import is_storage_sop_class
from pacsnode.dimse.admission import Admission, Limits
from pacsnode.dimse.association import acceptor
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Rejection,
    decode_request,
    encode_rejection,
)
from pacsnode.dimse.association.command import CommandField, response
from pacsnode.dimse.association.conversation import Conversation, Message, Timeouts, abort_connection
from pacsnode.dimse.association.endings import AssociationOver, PeerAborted
from pacsnode.dimse.association.lobby import Address, Lobby
from pacsnode.dimse.association.pdu import HEADER
from pacsnode.dimse.association.transport import Transport
from pacsnode.dimse.contexts import FIND_MODELS, GET_MODELS, MOVE_MODELS, VERIFICATION, negotiate
from pacsnode.dimse.scp import SCP
from pacsnode.dimse.status import GeneralStatus
from pacsnode.observe import (
    AssociationAccepted,
    AssociationEnded,
    AssociationRejected,
    ConnectionProbed,
    Observer,
    current_association,
)

log = logging.getLogger(__name__)

_BACKLOG = 1024
_ABANDON_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the listener needs of the configuration."""

    ae_title: str
    ae_title_aliases: tuple[str, ...]
    host: str
    port: int
    limits: Limits
    max_pdu_bytes: int
    timeouts: Timeouts
    check_called_ae: bool
    private_sop_classes: bool


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

    def __init__(self, settings: ServerSettings, policy: Policy, scps: SCPs, observer: Observer) -> None:
        self._settings = settings
        self._policy = policy
        self._storage = scps.storage
        self._operations = scps.by_operation()
        self._observer = observer
        self._titles = {comparable_ae_title(t) for t in (settings.ae_title, *settings.ae_title_aliases)}
        self._admission = Admission(settings.limits)
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, Transport] = {}
        self._stop_descriptor = -1
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._lobby: Lobby | None = None

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Listen; raises `OSError` if the address cannot be had."""
        settings = self._settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        self._socket = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
        self._stop_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lobby = Lobby(
            self._socket,
            enter=self._enter,
            leave=self._leave,
            probed=self._probed,
            capacity=settings.limits.pre_association,
            seconds=settings.timeouts.acse,
        )
        self._lobby.start()

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
            with self._lock:
                del self._connections[threading.current_thread()]

    def _answer(self, transport: Transport, association_id: str, address: Address, body: bytes) -> None:
        calling, called = "", ""
        try:
            request = decode_request(body)
            calling, called = request.calling_ae_title, request.called_ae_title
            refusal = self._refusal(request) or self._place_refusal(request, address)
            if refusal is not None:
                rejection, reason = refusal
                acceptor.reject(transport, rejection)
                self._observer(AssociationRejected(association_id, calling, called, str(address), reason))
                return
        except AssociationOver as over:
            abort_connection(transport, over)
            self._observer(AssociationRejected(association_id, calling, called, str(address), str(over)))
            return
        try:
            self._serve(transport, request, association_id, address)
        finally:
            self._admission.give_back(address.host, comparable_ae_title(calling))

    def _refusal(self, request: AssociateRequest) -> tuple[Rejection, str] | None:
        """Return why a request is rejected, whoever else is there; None if it is not."""
        if request.application_context_name != APPLICATION_CONTEXT_NAME:
            return acceptor.APPLICATION_CONTEXT_NOT_SUPPORTED, "application context not supported"
        is_ours = comparable_ae_title(request.called_ae_title) in self._titles
        if self._settings.check_called_ae and not is_ours:
            return acceptor.CALLED_AE_TITLE_NOT_RECOGNIZED, "called AE title not recognized"
        decision = self._policy.admit(request.calling_ae_title)
        if isinstance(decision, Refused):
            return acceptor.CALLING_AE_TITLE_NOT_RECOGNIZED, decision.rule
        return None

    def _place_refusal(self, request: AssociateRequest, address: Address) -> tuple[Rejection, str] | None:
        """Take a place for the association; return why there is none."""
        if self._stopping.is_set():
            return acceptor.LOCAL_LIMIT_EXCEEDED, "the node stops"
        limit = self._admission.take(address.host, comparable_ae_title(request.calling_ae_title))
        return None if limit is None else (acceptor.LOCAL_LIMIT_EXCEEDED, f"{limit} reached")

    def _serve(
        self, transport: Transport, request: AssociateRequest, association_id: str, address: Address
    ) -> None:
        started, operations, ending = time.monotonic(), 0, "released"
        answer = negotiate(
            request,
            lambda service: isinstance(self._policy.decide(request.calling_ae_title, service), Allowed),
            private_sop_classes=self._settings.private_sop_classes,
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
                max_pdu_bytes=self._settings.max_pdu_bytes,
                timeouts=self._settings.timeouts,
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
