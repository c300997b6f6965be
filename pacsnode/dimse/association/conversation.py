"""The conversation on an established association: messages in, messages out, one thread, one socket.

The thread that serves an association is the only one that reads it. Between messages `receive` waits for the next
request. During an operation only what may come then is read: C-CANCEL (remembered), responses to our own
sub-operations (`request`), A-RELEASE and A-ABORT; one further request is parked and reading stops, so that a peer
that sends ahead is held back by TCP and never by our memory (PS3.7 8.1: we negotiate no asynchronous operations).

A peer's abort, a lost connection and a broken rule unwind the handler as an `AssociationOver`, at its next call.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pacsnode.dimse.association.acse import Roles
from pacsnode.dimse.association.command import CommandField, CommandSet
from pacsnode.dimse.association.endings import (
    AbortReason,
    AssociationOver,
    ConnectionLost,
    DeadlinePassed,
    MessageViolation,
    PeerAborted,
    ProtocolViolation,
)
from pacsnode.dimse.association.framing import Framing, Parts
from pacsnode.dimse.association.pdu import (
    A_RELEASE_RP,
    A_RELEASE_RQ,
    abort_of,
)
from pacsnode.dimse.association.reader import PDV, Reader
from pacsnode.dimse.association.states import Action, Event, State, next_step, on_pdu, unexpected
from pacsnode.dimse.association.transport import Transport
from pacsnode.dimse.rules import Terms, Timeouts

_WRITE_SECONDS = 60.0
_BYTES_PER_SECOND = 10_000
_BETWEEN_FRAGMENTS_SECONDS = 60.0
_ABORT_SECONDS = 1.0
_MAX_COMMAND_BYTES = 16 << 10
_MAX_CANCELS = 64


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context; `requestor` is what the requestor of the association may be.

    `extended` is the Service-class-application-information that was answered for its SOP class (PS3.7 D.3.3.5).
    """

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    requestor: Roles
    extended: bytes = b""


@dataclass(frozen=True, slots=True)
class Message:
    """A received command set and the context it came in. Its data set, if any, must be read next."""

    context: Context
    command: CommandSet


@dataclass(frozen=True, slots=True)
class Parties:
    """Who talks: `association_id` names the association in logs."""

    association_id: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str


class Conversation:
    """One established association, used by one thread."""

    def __init__(
        self,
        transport: Transport,
        reader: Reader,
        *,
        parties: Parties,
        contexts: dict[int, Context],
        peer_max_pdu_bytes: int,
        timeouts: Timeouts,
        terms: Terms | None = None,
    ) -> None:
        """`terms` are those that we accepted it by; there are none where we are the requestor."""
        self.transport = transport
        self.parties = parties
        self.contexts = contexts
        self._reader = reader
        self._timeouts = timeouts
        self.framing = Framing(peer_max_pdu_bytes)
        self._parked: Message | None = None
        self._cancelled: set[int] = set()
        self._unread: Message | None = None  # the message whose data set was not read yet
        self._command, self._command_context_id = bytearray(), 0  # of a message that is not whole yet
        self._is_release_requested = False
        self._message_id = 0
        self._terms = terms

    @property
    def terms(self) -> Terms:
        """What the peer may do, and how it is served."""
        assert self._terms is not None, "only an association that we accepted has terms"
        return self._terms

    # What comes in

    def receive(self) -> Message | None:
        """Wait for the peer's next request; None when the peer has released the association.

        Responses that nobody waits for and late C-CANCELs are dropped, as they may cross with what they belong to.
        """
        self.skip_data_set()
        self._cancelled.clear()
        if self._parked is not None:
            parked, self._parked = self._parked, None
            self._unread = parked if parked.command.has_data_set else None
            return parked
        while not self._is_release_requested:
            message = self._next_message(self._timeouts.network, is_idle=True)
            if message is None:
                break
            if not message.command.is_response and message.command.field != CommandField.C_CANCEL:
                return message
            self.skip_data_set()
        with suppress(ConnectionLost):  # many do not wait for the answer
            self._send([A_RELEASE_RP])
        self.transport.finish(_ABORT_SECONDS)
        return None

    def next_message(self) -> Message:
        """Wait for the peer's next message of any kind, within the time for a response to us.

        For a requestor that serves sub-operations while its own request is answered (C-GET SCU).
        """
        self.skip_data_set()
        message = self._next_message(self._timeouts.dimse)
        if message is None:
            raise MessageViolation("a release while a response is due")
        return message

    def read_data_set(self, consume: Callable[[bytes], None]) -> None:
        """Hand the current message's data set over in pieces, in order, as they arrive.

        Raises `MessageViolation` for a command set within it or another context's fragment.
        """
        assert self._unread is not None
        context_id = self._unread.context.context_id
        while True:
            pdv = self._next_pdv(_BETWEEN_FRAGMENTS_SECONDS)
            if pdv is None:
                raise MessageViolation("a release within a data set")
            if pdv.is_command or pdv.context_id != context_id:
                raise MessageViolation("a data set that is broken by another message")
            while piece := self._reader.piece():
                consume(bytes(piece))
            if pdv.is_last:
                self._unread = None
                return

    def data_set(self, max_bytes: int) -> bytes:
        """Return the current message's data set, b"" if it has none; raises `MessageViolation` over the limit."""
        if self._unread is None:
            return b""
        pieces, size = list[bytes](), 0

        def consume(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            if size > max_bytes:
                raise MessageViolation(f"an Identifier of more than {max_bytes} bytes")
            pieces.append(piece)

        self.read_data_set(consume)
        return b"".join(pieces)

    def skip_data_set(self) -> None:
        """Read over the current message's data set, if it has one."""
        if self._unread is not None:
            self.read_data_set(lambda _: None)

    def cancelled(self, message_id: int) -> bool:
        """Return whether the peer has cancelled an operation, looking at what has arrived without waiting."""
        while self._may_read_on() and self._reader.has_whole_pdu():
            self._take_one()
        return message_id in self._cancelled

    def has_heard_cancel(self, message_id: int) -> bool:
        """Return whether a C-CANCEL was among what was read already, as between two sub-operations."""
        return message_id in self._cancelled

    def wait(self, wake_descriptor: int, deadline: float) -> None:
        """Wait for something from the peer (it is taken), for the wake descriptor, or for the deadline.

        Raises what the peer's abort or a lost connection raises. While a request is parked only the other two count.
        """
        if not self._may_read_on() or not self._reader.has_whole_pdu():
            self.transport.wait_readable(wake_descriptor, deadline, ignore_peer=not self._may_read_on())
        while self._may_read_on() and self._reader.has_whole_pdu():
            self._take_one()

    def _may_read_on(self) -> bool:
        return self._parked is None and self._unread is None and not self._is_release_requested

    def _take_one(self) -> None:
        """Read on during an operation, what has arrived only: C-CANCEL is remembered, another request parked.

        A late response, for a sub-operation that was given up, is dropped; its data set, should it have one, is read
        over when the operation is over, and nothing before it.
        """
        message = self._next_fragment(_BETWEEN_FRAGMENTS_SECONDS)
        if message is None:
            return
        command = message.command
        if command.field == CommandField.C_CANCEL:
            if len(self._cancelled) < _MAX_CANCELS:
                self._cancelled.add(command.message_id_being_responded_to)
        elif not command.is_response:
            self._parked, self._unread = message, None

    def _next_message(self, wait_seconds: float, *, is_idle: bool = False) -> Message | None:
        """Read a command set; None if the peer requests the release instead, or has done so before."""
        while not self._is_release_requested:
            has_begun = bool(self._command)
            wait = _BETWEEN_FRAGMENTS_SECONDS if has_begun else wait_seconds
            if (message := self._next_fragment(wait, is_idle=is_idle and not has_begun)) is not None:
                return message
        return None

    def _next_fragment(self, wait_seconds: float, *, is_idle: bool = False) -> Message | None:
        """Read a fragment of a command set, or the request for the release; return the message that it ends."""
        pdv = self._next_pdv(wait_seconds, is_idle=is_idle)
        if pdv is None:
            if self._command:
                raise MessageViolation("a release within a command set")
            return None
        if not pdv.is_command or (self._command and pdv.context_id != self._command_context_id):
            raise MessageViolation("a fragment that belongs to no message")
        self._command_context_id = pdv.context_id
        while piece := self._reader.piece():
            self._command += piece
            if len(self._command) > _MAX_COMMAND_BYTES:
                raise MessageViolation(f"a command set of more than {_MAX_COMMAND_BYTES} bytes")
        return self._whole_message() if pdv.is_last else None

    def _whole_message(self) -> Message:
        command = bytes(self._command)
        self._command.clear()
        context = self.contexts.get(self._command_context_id)
        if context is None:
            raise ProtocolViolation(
                f"presentation context {self._command_context_id} was not accepted",
                AbortReason.INVALID_PDU_PARAMETER_VALUE,
            )
        message = Message(context, CommandSet.decode(command))
        self._unread = message if message.command.has_data_set else None
        return message

    def _next_pdv(self, wait_seconds: float, *, is_idle: bool = False) -> PDV | None:
        """Return the next PDV; None when the peer requests the release."""
        if self._reader.is_within_pdu:
            return self._reader.next_pdv()
        pdu_type, length = self._reader.next_pdu(wait_seconds, is_idle=is_idle)
        action, _ = on_pdu(State.ESTABLISHED, pdu_type)
        if action is Action.DT_2:
            return self._reader.next_pdv()
        if action is Action.AA_8:
            raise unexpected(pdu_type, "on an association")
        body = self._reader.body(length)
        if action is Action.AA_3:
            raise aborted_by_peer(body)
        self._is_release_requested = True  # state 8: nothing is read in it
        return None

    # What goes out

    def respond(self, context: Context, command: bytes, data_set: bytes | None = None) -> None:
        """Send one message; a command set and data set that fit go out in one write."""
        self._send(self.framing.message(context.context_id, command, data_set))

    def respond_all(self, context: Context, messages: list[tuple[bytes, bytes | None]]) -> None:
        """Send several messages in one write."""
        parts: Parts = []
        for command, data_set in messages:
            parts += self.framing.message(context.context_id, command, data_set)
        self._send([b"".join(parts)])

    def send_parts(self, parts: Parts) -> None:
        """Send framed parts (see `framing`) in one gathered write."""
        self._send(parts)

    def _send(self, parts: Parts) -> None:
        size = sum(map(len, parts))
        self.transport.send(parts, time.monotonic() + _WRITE_SECONDS + size / _BYTES_PER_SECOND)

    # What we ask for

    def next_message_id(self) -> int:
        """Return a Message ID for a request of ours."""
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def response_to(self, message_id: int) -> Message:
        """Wait for the response to our request, by Message ID Being Responded To.

        C-CANCELs that arrive meanwhile are remembered; another request of the peer or a release is a
        `MessageViolation`, since no asynchronous operations were negotiated.
        """
        while True:
            self.skip_data_set()
            if not self._is_release_requested:
                self._reader.wait(self._timeouts.dimse)
            message = self._next_message(self._timeouts.dimse)
            if message is None:
                raise MessageViolation("a release while a response is due")
            command = message.command
            if command.field == CommandField.C_CANCEL:
                self._cancelled.add(command.message_id_being_responded_to)
            elif not command.is_response:
                raise MessageViolation("a request while a response is due")
            elif command.message_id_being_responded_to == message_id:
                return message

    def contexts_for(self, abstract_syntax: str, *, as_requestor: bool) -> dict[str, Context]:
        """Return the contexts to send instances in, with our role as SCU, by transfer syntax."""
        found: dict[str, Context] = {}
        for context in self.contexts.values():
            may_send = context.requestor.is_scu if as_requestor else context.requestor.is_scp
            if context.abstract_syntax == abstract_syntax and may_send:
                found.setdefault(context.transfer_syntax, context)
        return found

    # How it ends

    def release(self) -> None:
        """Ask for the release and wait for the answer, all in all no longer than for one; raises `AssociationOver`."""
        self._send([A_RELEASE_RQ])
        state = State.AWAITING_RELEASE_RESPONSE
        deadline = time.monotonic() + self._timeouts.acse
        while (left := deadline - time.monotonic()) > 0:
            pdu_type, length = self._reader.next_pdu(left)
            action, state = on_pdu(state, pdu_type)
            if action is Action.AA_8:
                raise unexpected(pdu_type, "instead of a release response")
            if action is Action.AR_6:
                self._skip_pdu()
                continue
            body = self._reader.body(length)
            if action is Action.AA_3:
                raise aborted_by_peer(body)
            if action is Action.AR_3:
                self.transport.close()
                return
            self._send([A_RELEASE_RP])  # both sides at once: we are the requestor, and answer first
            _, state = next_step(state, Event.RELEASE_RESPONSE)
        raise DeadlinePassed("no release response within the time limit")

    def _skip_pdu(self) -> None:
        while self._reader.is_within_pdu:
            self._reader.next_pdv()
            while self._reader.piece():
                pass

    def abort(self, over: AssociationOver | None = None) -> None:
        """Send the A-ABORT that fits how the association ended, if one does, and close. Never raises."""
        abort_connection(self.transport, over)


def aborted_by_peer(body: bytes) -> PeerAborted:
    """Return how an association ends with the body of an A-ABORT PDU (PS3.8 9.3.8)."""
    return PeerAborted(f"aborted by the peer (source {body[2]}, reason {body[3]})")


def abort_connection(transport: Transport, over: AssociationOver | None) -> None:
    """Send the A-ABORT that fits, if the peer is still there to read it, and close. Never raises."""
    pdu = abort_of(over)
    if pdu is None:
        transport.close()
        return
    try:
        transport.send([pdu], time.monotonic() + _ABORT_SECONDS)
    except AssociationOver:
        transport.close()
        return
    transport.finish(_ABORT_SECONDS)
