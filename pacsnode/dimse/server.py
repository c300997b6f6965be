"""The listening side: one thread per association, which accepts, serves and ends it.

The thread is the named boundary where an unexpected exception of one association ends: it is logged, the
association aborted, and nothing else is touched. A place in `max_associations` is held from the accepted
request to the end of the thread, so that a connection that closes at once frees its place at once.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pacsnode.access.peer import Service, comparable_ae_title
from pacsnode.access.policy import Allowed, Policy, Refused
from pacsnode.dicom.uid import is_storage_sop_class
from pacsnode.dimse.association import acceptor
from pacsnode.dimse.association.acceptor import Answer, Rejected
from pacsnode.dimse.association.acse import AssociateRequest, encode_rejection
from pacsnode.dimse.association.command import CommandField, response
from pacsnode.dimse.association.conversation import Conversation, Message, Timeouts, abort_connection
from pacsnode.dimse.association.endings import AssociationOver, PeerAborted
from pacsnode.dimse.association.transport import Transport
from pacsnode.dimse.contexts import FIND_MODELS, GET_MODELS, MOVE_MODELS, VERIFICATION, negotiate
from pacsnode.dimse.scp import SCP
from pacsnode.dimse.status import GeneralStatus
from pacsnode.observe import AssociationEnded, AssociationRejected, Observer

log = logging.getLogger(__name__)

_BACKLOG = 512
_MAX_UNASSOCIATED = 64  # connections that have not become associations, beyond max_associations
_ABANDON_SECONDS = 5.0
_AFTER_FAILURE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the listener needs of the configuration."""

    ae_title: str
    ae_title_aliases: tuple[str, ...]
    host: str
    port: int
    max_associations: int
    max_pdu_bytes: int
    timeouts: Timeouts
    check_called_ae: bool
    private_sop_classes: bool


@dataclass(frozen=True, slots=True)
class SCPs:
    """The service class providers of a node."""

    verification: SCP
    storage: SCP
    query: SCP
    get: SCP
    move: SCP

    def by_operation(self) -> Mapping[tuple[str, int], SCP]:
        """Return which SCP serves which command in contexts of which abstract syntax; storage is left out."""
        table: dict[tuple[str, int], SCP] = {(VERIFICATION, CommandField.C_ECHO): self.verification}
        table |= {(uid, CommandField.C_FIND): self.query for uid in FIND_MODELS}
        table |= {(uid, CommandField.C_GET): self.get for uid in GET_MODELS}
        table |= {(uid, CommandField.C_MOVE): self.move for uid in MOVE_MODELS}
        return table


class DimseServer:
    """Listens and serves. `start` once, `stop` once."""

    def __init__(self, settings: ServerSettings, policy: Policy, scps: SCPs, observer: Observer) -> None:
        self._settings = settings
        self._policy = policy
        self._storage = scps.storage
        self._operations = scps.by_operation()
        self._observer = observer
        self._titles = {comparable_ae_title(t) for t in (settings.ae_title, *settings.ae_title_aliases)}
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, Transport] = {}
        self._associations = 0
        self._stop_descriptor = -1
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Listen; raises `OSError` if the address cannot be had."""
        family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
        self._socket = socket.create_server(
            (self._settings.host, self._settings.port), family=family, backlog=_BACKLOG
        )
        self._stop_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Stop accepting, let operations in flight finish within the grace, then cut off what is left."""
        self._stopping.set()
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
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

    def _listen(self) -> None:
        assert self._socket is not None
        is_failing = False
        while not self._stopping.is_set():
            try:
                connection, address = self._socket.accept()
            except OSError as error:
                if not is_failing and not self._stopping.is_set():
                    log.warning("a connection could not be accepted: %s", error.strerror)
                is_failing = True
                # Without a descriptor or memory to be had, accept fails at once, and the connection stays.
                self._stopping.wait(_AFTER_FAILURE_SECONDS)
                continue
            is_failing = False
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            self._begin(connection, f"{host}:{address[1]}")

    def _begin(self, connection: socket.socket, peer_address: str) -> None:
        transport = Transport(connection, stop_descriptor=self._stop_descriptor)
        thread = threading.Thread(
            target=self._run, args=(transport, peer_address), name=f"association-{peer_address}", daemon=True
        )
        with self._lock:
            is_full = len(self._connections) >= self._settings.max_associations + _MAX_UNASSOCIATED
            if not is_full:
                self._connections[thread] = transport
        if is_full:
            self._turn_away(transport, peer_address)
            return
        try:
            thread.start()
        except RuntimeError:  # no thread to be had
            with self._lock:
                del self._connections[thread]
            self._turn_away(transport, peer_address)

    def _turn_away(self, transport: Transport, peer_address: str) -> None:
        try:
            transport.send([encode_rejection(acceptor.LOCAL_LIMIT_EXCEEDED)], time.monotonic())
        except AssociationOver:
            pass
        transport.close()
        self._observer(AssociationRejected("", "", "", peer_address, "too many connections"))

    def _run(self, transport: Transport, peer_address: str) -> None:
        association_id = secrets.token_hex(4)
        try:
            self._associate_and_serve(transport, association_id, peer_address)
        except Exception:  # the named boundary of an association
            log.exception("association %s: unexpected error, aborted", association_id)
            abort_connection(transport, None)
        finally:
            transport.close()
            with self._lock:
                del self._connections[threading.current_thread()]

    def _associate_and_serve(self, transport: Transport, association_id: str, peer_address: str) -> None:
        try:
            conversation, refused = self._accept(transport, association_id, peer_address)
        except Rejected as rejected:
            request = rejected.request
            titles = (request.calling_ae_title, request.called_ae_title)
            self._observer(AssociationRejected(association_id, *titles, peer_address, str(rejected)))
            return
        except AssociationOver as over:
            abort_connection(transport, over)
            self._observer(AssociationRejected(association_id, "", "", peer_address, str(over)))
            return
        try:
            self._serve(conversation, refused)
        finally:
            with self._lock:
                self._associations -= 1

    def _accept(
        self, transport: Transport, association_id: str, peer_address: str
    ) -> tuple[Conversation, int]:
        """Return the conversation, holding a place, and the number of refused contexts."""
        settings = self._settings
        is_placed = False
        refused = 0

        def decide(request: AssociateRequest) -> Answer:
            nonlocal is_placed, refused
            self._check(request)
            is_placed = True
            negotiated = negotiate(
                request,
                lambda service: self._may(request.calling_ae_title, service),
                private_sop_classes=settings.private_sop_classes,
            )
            refused = len(negotiated.decisions) - len(negotiated.contexts)
            return Answer(negotiated.decisions, negotiated.contexts, negotiated.roles)

        try:
            conversation = acceptor.accept(
                transport,
                decide,
                association_id=association_id,
                peer_address=peer_address,
                max_pdu_bytes=settings.max_pdu_bytes,
                timeouts=settings.timeouts,
                deadline=time.monotonic() + settings.timeouts.acse,
            )
        except BaseException:
            if is_placed:
                with self._lock:
                    self._associations -= 1
            raise
        return conversation, refused

    def _may(self, calling_ae_title: str, service: Service) -> bool:
        return isinstance(self._policy.decide(calling_ae_title, service), Allowed)

    def _check(self, request: AssociateRequest) -> None:
        """Take a place for the association, or raise `Rejected`."""
        if (
            self._settings.check_called_ae
            and comparable_ae_title(request.called_ae_title) not in self._titles
        ):
            raise Rejected(acceptor.CALLED_AE_TITLE_NOT_RECOGNIZED, "called AE title not recognized", request)
        decision = self._policy.admit(request.calling_ae_title)
        if isinstance(decision, Refused):
            raise Rejected(acceptor.CALLING_AE_TITLE_NOT_RECOGNIZED, decision.rule, request)
        with self._lock:
            if self._associations >= self._settings.max_associations or self._stopping.is_set():
                raise Rejected(acceptor.LOCAL_LIMIT_EXCEEDED, "dicom.max_associations reached", request)
            self._associations += 1

    def _serve(self, conversation: Conversation, refused: int) -> None:
        started, operations, ending = time.monotonic(), 0, "released"
        try:
            while (message := conversation.receive()) is not None:
                operations += 1
                self._dispatch(conversation, message)
        except AssociationOver as over:
            ending = str(over)
            if isinstance(over, PeerAborted):
                ending = "aborted"
            conversation.abort(over)
        except BaseException:
            ending = "unexpected error"
            raise
        finally:
            parties, transport = conversation.parties, conversation.transport
            self._observer(
                AssociationEnded(
                    association_id=parties.association_id,
                    calling_ae_title=parties.calling_ae_title,
                    called_ae_title=parties.called_ae_title,
                    peer_address=parties.peer_address,
                    ending=ending,
                    seconds=time.monotonic() - started,
                    contexts_accepted=len(conversation.contexts),
                    contexts_rejected=refused,
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
