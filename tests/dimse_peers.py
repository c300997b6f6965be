"""Peers that tests play: raw sockets and scripts in place of them, messages written without the code under test."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Self, cast

from pacsnode.access.peer import CalledTitle, Peer
from pacsnode.access.policy import Claim, Policy, Rights, UnknownPeers
from pacsnode.access.sees import Sees
from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dimse.admission import Limits
from pacsnode.dimse.association.acse import (
    AssociateRequest,
    Decision,
    Roles,
    decode_request,
    encode_accept,
)
from pacsnode.dimse.association.command import (
    A_DATA_SET,
    NO_DATA_SET,
    CommandField,
    Element,
    encode,
    text,
    ui,
    us,
)
from pacsnode.dimse.association.conversation import Context, Conversation, Parties
from pacsnode.dimse.association.endings import ConnectionLost
from pacsnode.dimse.association.pdu import (
    A_RELEASE_RP,
    HEADER,
    IS_COMMAND,
    IS_LAST,
    PDV_HEADER,
    PDUType,
)
from pacsnode.dimse.association.reader import Reader
from pacsnode.dimse.association.transport import Transport
from pacsnode.dimse.rules import Rules, Terms, Timeouts
from tests.factories import Sample

VERIFICATION = "1.2.840.10008.1.1"


STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"


STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"


STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"


def soon(seconds: float = 20.0) -> float:
    """Return a deadline that a test which works never reaches."""
    return time.monotonic() + seconds


@contextmanager
def loopback_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give two connected TCP sockets; both are closed at the end. The second one has a time-out of 20 s."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first = socket.create_connection(listener.getsockname())
        second, _ = listener.accept()
    second.settimeout(20.0)
    second.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with first, second:
        yield first, second


def p_data(context_id: int, *fragments: tuple[int, bytes]) -> bytes:
    """Return one P-DATA-TF PDU with a PDV for each control byte and fragment."""
    items = b"".join(
        PDV_HEADER.pack(len(data) + 2, context_id, control) + data for control, data in fragments
    )
    return HEADER.pack(PDUType.P_DATA_TF, len(items)) + items


def message(
    context_id: int, command: bytes, data_set: bytes | None = None, *, fragment_bytes: int = 1 << 14
) -> bytes:
    """Return the PDUs of one message, one PDV each."""
    pdus = [p_data(context_id, (IS_COMMAND | IS_LAST, command))]
    if data_set is not None:
        for at in range(0, max(len(data_set), 1), fragment_bytes):
            is_last = at + fragment_bytes >= len(data_set)
            pdus.append(p_data(context_id, (IS_LAST if is_last else 0, data_set[at : at + fragment_bytes])))
    return b"".join(pdus)


def request_command(
    field: int,
    sop_class: str,
    message_id: int = 1,
    *,
    has_data_set: bool = False,
    instance: str = "",
    destination: str = "",
    priority: int = 0,
) -> bytes:
    """Return the command set of a request."""
    elements: list[tuple[int, bytes]] = [
        (Element.AFFECTED_SOP_CLASS_UID, ui(sop_class)),
        (Element.COMMAND_FIELD, us(field)),
        (Element.MESSAGE_ID, us(message_id)),
    ]
    if destination:
        elements.append((Element.MOVE_DESTINATION, text(destination)))
    elements.append((Element.PRIORITY, us(priority)))
    elements.append((Element.COMMAND_DATA_SET_TYPE, us(A_DATA_SET if has_data_set else NO_DATA_SET)))
    if instance:
        elements.append((Element.AFFECTED_SOP_INSTANCE_UID, ui(instance)))
    return encode(elements)


def echo_request(message_id: int = 1, *, context_id: int = 1) -> bytes:
    """Return a C-ECHO-RQ."""
    return message(context_id, request_command(CommandField.C_ECHO, VERIFICATION, message_id))


def cancel_request(message_id: int, *, context_id: int = 1) -> bytes:
    """Return a C-CANCEL-RQ."""
    command = encode(
        [
            (Element.COMMAND_FIELD, us(CommandField.C_CANCEL)),
            (Element.MESSAGE_ID_BEING_RESPONDED_TO, us(message_id)),
            (Element.COMMAND_DATA_SET_TYPE, us(NO_DATA_SET)),
        ]
    )
    return message(context_id, command)


def store_request(
    sample: Sample, message_id: int = 1, *, context_id: int = 1, fragment_bytes: int = 1 << 14
) -> bytes:
    """Return a C-STORE-RQ with its data set."""
    command = request_command(
        CommandField.C_STORE, sample.sop_class, message_id, has_data_set=True, instance=sample.uid
    )
    return message(context_id, command, sample.data_set, fragment_bytes=fragment_bytes)


def response_message(
    field: int, message_id: int, status: int, *, context_id: int = 1, data_set: bytes | None = None
) -> bytes:
    """Return a response to our request."""
    command = encode(
        [
            (Element.COMMAND_FIELD, us(field | 0x8000)),
            (Element.MESSAGE_ID_BEING_RESPONDED_TO, us(message_id)),
            (Element.COMMAND_DATA_SET_TYPE, us(NO_DATA_SET if data_set is None else A_DATA_SET)),
            (Element.STATUS, us(status)),
        ]
    )
    return message(context_id, command, data_set)


SCU = Roles(is_scu=True, is_scp=False)


SCP = Roles(is_scu=False, is_scp=True)


TIMEOUTS = Timeouts(acse=20.0, dimse=20.0, network=20.0)


def context(
    context_id: int = 1,
    abstract_syntax: str = VERIFICATION,
    syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
    roles: Roles = SCU,
) -> Context:
    """Return an accepted presentation context."""
    return Context(context_id, abstract_syntax, syntax, roles)


def conversation_over(
    connection: socket.socket,
    contexts: Sequence[Context] | None = None,
    *,
    our_max_pdu_bytes: int = 1 << 18,
    peer_max_pdu_bytes: int = 1 << 14,
    timeouts: Timeouts = TIMEOUTS,
    stop_descriptor: int | None = None,
    terms: Terms | None = None,
) -> Conversation:
    """Return an established conversation; the other end of the connection is the peer."""
    return conversation_on(
        Transport(connection, stop_descriptor=stop_descriptor),
        contexts,
        our_max_pdu_bytes=our_max_pdu_bytes,
        peer_max_pdu_bytes=peer_max_pdu_bytes,
        timeouts=timeouts,
        terms=terms,
    )


def conversation_on(
    transport: "Transport | Script",
    contexts: Sequence[Context] | None = None,
    *,
    our_max_pdu_bytes: int = 1 << 18,
    peer_max_pdu_bytes: int = 1 << 14,
    timeouts: Timeouts = TIMEOUTS,
    terms: Terms | None = None,
) -> Conversation:
    """Return an established conversation on a transport, with a peer that may do everything."""
    real = cast(Transport, transport)
    return Conversation(
        real,
        Reader(real, max_pdu_bytes=our_max_pdu_bytes),
        parties=Parties("0badcafe", "CT1", "PACSNODE", "127.0.0.1:1"),
        contexts={one.context_id: one for one in contexts or (context(),)},
        peer_max_pdu_bytes=peer_max_pdu_bytes,
        timeouts=timeouts,
        terms=terms or terms_of(),
    )


def terms_of(
    *peers: Peer, calling: str = "CT1", sees: tuple[Sees, ...] | None = None, **rules: object
) -> Terms:
    """Return the terms of an association by a configuration with these peers, where others may do everything."""
    policy = Policy([CalledTitle("PACSNODE", sees=sees)], peers, UnknownPeers.ALL)
    rights = policy.admit(Claim(calling, "PACSNODE", "127.0.0.1"))
    assert isinstance(rights, Rights)
    made = Rules(policy, Limits(associations=10), TIMEOUTS, **{"max_pdu_bytes": 1 << 18, **rules})  # type: ignore[arg-type]
    return Terms(made, rights)


class Script:
    """A transport that gives out what a peer sends in given pieces and keeps what is sent; no socket."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.sent: list[bytes] = []
        self.is_closed = False
        self.bytes_received = self.bytes_sent = 0

    @classmethod
    def cut_at(cls, stream: bytes, cuts: Sequence[int]) -> "Script":
        """Return the transport of a stream that arrives in the pieces between the cuts."""
        places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
        return cls([stream[start:end] for start, end in pairwise(places)])

    def receive_into(self, view: memoryview, deadline: float, *, is_idle: bool = False) -> int:
        if not self._pieces:
            raise ConnectionLost("connection closed by the peer")
        size = min(len(view), len(self._pieces[0]))
        assert size > 0, "nothing can be received into no room"
        view[:size] = self._pieces[0][:size]
        self._pieces[0] = self._pieces[0][size:]
        if not self._pieces[0]:
            del self._pieces[0]
        self.bytes_received += size
        return size

    def wait_to_receive(self, deadline: float) -> None:
        """What a script has is there at once."""

    def receive_now(self, view: memoryview) -> int:
        return self.receive_into(view, 0.0) if self._pieces else 0

    def send(self, parts: list[bytes | memoryview], deadline: float) -> None:
        self.sent.append(b"".join(parts))

    def finish(self, seconds: float) -> None:
        self.is_closed = True

    def close(self) -> None:
        self.is_closed = True


class Answering(Script):
    """A script whose peer answers each C-STORE of ours with its next answer; then it sends the rest."""

    def __init__(self, pieces: Sequence[bytes], answers: Sequence[bytes], rest: bytes = b"") -> None:
        super().__init__(pieces)
        self._answers = [*answers, rest]
        self._answer_if_none_is_due()

    def send(self, parts: list[bytes | memoryview], deadline: float) -> None:
        super().send(parts, deadline)
        last = parsed(self.sent[-1])[-1]
        if us_of(last.command, Element.COMMAND_FIELD) == CommandField.C_STORE:
            self._pieces += [answer for answer in self._answers[:1] if answer]
            del self._answers[:1]
            self._answer_if_none_is_due()

    def _answer_if_none_is_due(self) -> None:
        if len(self._answers) == 1 and self._answers[0]:
            self._pieces.append(self._answers.pop())


class Talk:
    """A conversation of ours and the raw socket of its peer. A context manager."""

    def __init__(self, contexts: Sequence[Context] | None = None, **options: object) -> None:
        self._contexts, self._options = contexts, options

    def __enter__(self) -> Self:
        self._pair = loopback_pair()
        ours, self.peer = self._pair.__enter__()
        self.conversation = conversation_over(ours, self._contexts, **self._options)  # type: ignore[arg-type]
        return self

    def __exit__(self, *_: object) -> None:
        self._pair.__exit__(None, None, None)

    def sent_by_us(self) -> "list[Received]":
        """Close our side and return the messages and control PDUs that the peer finds."""
        self.conversation.transport.close()
        return received(self.peer)


@dataclass(frozen=True)
class Received:
    """A message (`pdu_type` 4) or a control PDU (`body` without its header)."""

    pdu_type: int
    body: bytes = b""
    context_id: int = 0
    command: bytes = b""
    data_set: bytes | None = None
    pdu_lengths: tuple[int, ...] = ()


def received(connection: socket.socket) -> list[Received]:
    """Return all that comes until the end of the connection."""
    return parsed(read_to_end(connection))


def read_to_end(connection: socket.socket) -> bytes:
    """Return all bytes until the other side closes."""
    chunks = []
    while chunk := connection.recv(1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Return type and body of one PDU."""
    head = _read_exactly(connection, HEADER.size)
    pdu_type, length = HEADER.unpack(head)
    return pdu_type, _read_exactly(connection, length)


def read_message(connection: socket.socket) -> Received:
    """Return one message or control PDU."""
    data = b""
    while True:
        pdu_type, body = read_pdu(connection)
        data += HEADER.pack(pdu_type, len(body)) + body
        if pdu_type != PDUType.P_DATA_TF or body[5] & IS_LAST:
            found, is_within = _parsed(data)
            if not is_within:
                return found[0]


def _read_exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        chunk = connection.recv(length - len(data))
        if not chunk:
            raise EOFError(f"{len(data)} of {length} bytes")
        data += chunk
    return data


def parsed(data: bytes) -> list[Received]:
    """Return the messages and control PDUs in a stream; it must end with one."""
    found, rest = _parsed(data)
    assert not rest, "the stream ends within a message"
    return found


def _parsed(data: bytes) -> tuple[list[Received], bool]:
    found, command, data_set, lengths, at = list[Received](), b"", None, list[int](), 0
    is_command_whole = False
    while at < len(data):
        pdu_type, length = HEADER.unpack_from(data, at)
        body = data[at + HEADER.size : at + HEADER.size + length]
        assert len(body) == length
        at += HEADER.size + length
        if pdu_type != PDUType.P_DATA_TF:
            found.append(Received(pdu_type, body))
            continue
        lengths.append(length)
        for context_id, control, fragment in _pdvs(body):
            if control & IS_COMMAND:
                command += fragment
                is_command_whole = bool(control & IS_LAST)
                if not is_command_whole or _has_data_set(command):
                    continue
            else:
                assert is_command_whole
                data_set = (data_set or b"") + fragment
                if not control & IS_LAST:
                    continue
            found.append(Received(pdu_type, b"", context_id, command, data_set, tuple(lengths)))
            command, data_set, lengths, is_command_whole = b"", None, [], False
    return found, bool(lengths)


def _pdvs(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield context ID, control and fragment of each PDV of a PDU."""
    at = 0
    while at < len(body):
        length, context_id, control = PDV_HEADER.unpack_from(body, at)
        assert at + 4 + length <= len(body), "a PDV ends with its PDU"
        yield context_id, control, body[at + PDV_HEADER.size : at + 4 + length]
        at += 4 + length


def _has_data_set(command: bytes) -> bool:
    return elements_of(command).get(Element.COMMAND_DATA_SET_TYPE, us(NO_DATA_SET)) != us(NO_DATA_SET)


def elements_of(command: bytes) -> dict[int, bytes]:
    """Return the elements of a command set, read without the code under test."""
    found, at = {}, 0
    while at < len(command):
        group, number, length = struct.unpack_from("<HHI", command, at)
        assert group == 0
        found[number] = command[at + 8 : at + 8 + length]
        at += 8 + length
    assert at == len(command)
    return found


def us_of(command: bytes, number: int) -> int | None:
    """Return an unsigned short of a command set."""
    value = elements_of(command).get(number)
    return None if value is None else int.from_bytes(value, "little")


class CalledPeer:
    """Listens on loopback and lets a function of the test answer each connection. A context manager.

    What the function raises, or returns, is kept for the test to look at.
    """

    def __init__(self, *answers: Callable[[socket.socket], object]) -> None:
        self._answers = answers
        self.results: list[object] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20.0)
                try:
                    self.results.append(answer(connection))
                except (AssertionError, OSError, EOFError) as error:
                    self.results.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._listener.close()
        assert not self._thread.is_alive(), "the peer of the test waits for something that does not come"


def accepting(
    connection: socket.socket,
    *,
    results: dict[int, tuple[int, str]] | None = None,
    roles: dict[str, Roles] | None = None,
    extended: dict[str, bytes] | None = None,
    max_pdu_bytes: int = 1 << 14,
) -> AssociateRequest:
    """Read an A-ASSOCIATE-RQ; accept contexts in their first transfer syntax, or decide as `results` say."""
    pdu_type, body = read_pdu(connection)
    assert pdu_type == PDUType.A_ASSOCIATE_RQ
    request = decode_request(body)
    decisions = []
    for proposal in request.proposals:
        result, syntax = (results or {}).get(proposal.context_id, (0, proposal.transfer_syntaxes[0]))
        decisions.append(Decision(proposal.context_id, proposal.abstract_syntax, result, syntax))
    connection.sendall(
        encode_accept(request, decisions, roles or {}, extended, our_max_pdu_bytes=max_pdu_bytes)
    )
    return request


def released(connection: socket.socket) -> None:
    """Answer the release that must come next."""
    assert read_pdu(connection) == (PDUType.A_RELEASE_RQ, bytes(4))
    connection.sendall(A_RELEASE_RP)
