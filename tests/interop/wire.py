"""PDUs made by hand, sent over a bare socket: what no well-behaved library can be made to send."""

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

RELEASE_RQ = struct.pack(">BxI4x", 5, 4)
RELEASE_RP = struct.pack(">BxI4x", 6, 4)
ABORT = struct.pack(">BxI4x", 7, 4)

_SECONDS = 20.0


def item(kind: int, content: bytes) -> bytes:
    """Return an item of an A-ASSOCIATE PDU."""
    return struct.pack(">BxH", kind, len(content)) + content


def associate_rq(
    contexts: Sequence[tuple[int, str, Sequence[str]]] = ((1, VERIFICATION, (IMPLICIT,)),),
    *,
    called: bytes = b"PACSNODE",
    calling: bytes = b"WIRE",
    padding: bytes = b" ",
    application_context: str = APPLICATION_CONTEXT,
    max_pdu: int = 16384,
    user_items: bytes = b"",
) -> bytes:
    """Return an A-ASSOCIATE-RQ (PS3.8 9.3.2); contexts are ID, abstract syntax and transfer syntaxes."""
    body = struct.pack(">HH", 1, 0) + called.ljust(16, padding) + calling.ljust(16, padding) + bytes(32)
    body += item(0x10, application_context.encode("ascii"))
    for context_id, abstract_syntax, transfer_syntaxes in contexts:
        content = bytes((context_id, 0, 0, 0)) + item(0x30, abstract_syntax.encode("ascii"))
        content += b"".join(item(0x40, uid.encode("ascii")) for uid in transfer_syntaxes)
        body += item(0x20, content)
    user = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"1.2.3.4") + user_items
    body += item(0x50, user)
    return struct.pack(">BxI", 1, len(body)) + body


def pdv(context_id: int, data: bytes, *, is_command: bool, is_last: bool = True) -> bytes:
    """Return a presentation data value item."""
    return struct.pack(">IBB", len(data) + 2, context_id, is_command | is_last << 1) + data


def p_data(*items: bytes) -> bytes:
    """Return a P-DATA-TF PDU."""
    body = b"".join(items)
    return struct.pack(">BxI", 4, len(body)) + body


def element(tag: int, value: bytes) -> bytes:
    """Return an element in Implicit VR Little Endian, its value padded with NUL."""
    value += b"\0" * (len(value) & 1)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def command(field: int, *, message_id: int = 1, has_data_set: bool = False, **more: bytes | int) -> bytes:
    """Return a command set; further elements by number, as `e0002=b"1.2.3"` or `e0700=0` (US)."""
    elements = {
        0x0100: struct.pack("<H", field),
        0x0110: struct.pack("<H", message_id),
        0x0800: struct.pack("<H", 1 if has_data_set else 0x0101),
    }
    for name, value in more.items():
        elements[int(name[1:], 16)] = struct.pack("<H", value) if isinstance(value, int) else value
    body = b"".join(element(number, elements[number]) for number in sorted(elements))
    return element(0x00000000, struct.pack("<I", len(body))) + body


def c_echo_rq(message_id: int = 1, sop_class: str = VERIFICATION) -> bytes:
    """Return a C-ECHO-RQ."""
    return command(0x0030, message_id=message_id, e0002=sop_class.encode("ascii"))


def c_store_rq(sop_instance_uid: bytes, *, message_id: int = 1, sop_class: str = CT_IMAGE) -> bytes:
    """Return a C-STORE-RQ; the data set follows."""
    return command(
        0x0001,
        message_id=message_id,
        has_data_set=True,
        e0002=sop_class.encode("ascii"),
        e0700=0,
        e1000=sop_instance_uid,
    )


def c_cancel_rq(message_id: int) -> bytes:
    """Return a C-CANCEL-RQ, which has no Message ID of its own (PS3.7 9.3.2.3)."""
    body = b"".join(
        element(tag, struct.pack("<H", value))
        for tag, value in ((0x0100, 0x0FFF), (0x0120, message_id), (0x0800, 0x0101))
    )
    return element(0x00000000, struct.pack("<I", len(body))) + body


@dataclass(frozen=True)
class Response:
    """A received message: its command set by element number, and its data set."""

    command: dict[int, bytes]
    data_set: bytes

    def us(self, number: int) -> int | None:
        """Return an unsigned short of the command set."""
        value = self.command.get(number)
        return None if value is None else int(struct.unpack("<H", value)[0])

    @property
    def status(self) -> int | None:
        """Return Status (0000,0900)."""
        return self.us(0x0900)

    @property
    def comment(self) -> str:
        """Return Error Comment (0000,0902)."""
        return self.command.get(0x0902, b"").decode("ascii").strip()


def pdvs(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield control byte and fragment of each PDV of a P-DATA-TF PDU (PS3.8 9.3.5)."""
    at = 0
    while at < len(body):
        length, _, control = struct.unpack_from(">IBB", body, at)
        yield control, body[at + 6 : at + 4 + length]
        at += 4 + length


class Wire:
    """A bare connection to a node; every wait is bounded."""

    def __init__(self, port: int, *, source: str = "127.0.0.1") -> None:
        """`source` is the address to call from; all of 127.0.0.0/8 is this machine."""
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=_SECONDS, source_address=(source, 0)
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send in one write. A node that has hung up is no error: what it said is still to be read."""
        try:
            self.socket.sendall(b"".join(parts))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def pdu(self) -> tuple[int, bytes] | None:
        """Return type and body of the next PDU, None when the node has closed the connection."""
        header = self._exactly(6)
        if not header:
            return None
        kind, length = struct.unpack(">BxI", header)
        return kind, self._exactly(length)

    def _expect(self, kind: int) -> bytes:
        """Return the body of the next PDU, which must be of this type."""
        answer = self.pdu()
        assert answer is not None, f"the node has closed the connection instead of sending PDU type {kind}"
        assert answer[0] == kind, answer
        return answer[1]

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionResetError:
                piece = b""
            if not piece:
                assert not data, "the connection ended within a PDU"
                return b""
            data += piece
        return data

    def associate(self, contexts: Sequence[tuple[int, str, Sequence[str]]], **options: Any) -> dict[int, int]:
        """Associate and return the result of each context."""
        self.send(associate_rq(contexts, **options))
        body, at, results = self._expect(2), 68, {}
        while at < len(body):
            kind, length = struct.unpack_from(">BxH", body, at)
            if kind == 0x21:
                results[body[at + 4]] = body[at + 6]
            at += 4 + length
        return results

    def message(self) -> Response:
        """Return the next message."""
        command, data_set = b"", b""
        while True:
            for control, fragment in pdvs(self._expect(4)):
                if control & 1:
                    command += fragment
                else:
                    data_set += fragment
                if control == 3:
                    decoded = _decoded(command)
                    if decoded[0x0800] == b"\x01\x01":
                        return Response(decoded, b"")
                elif control == 2:
                    return Response(_decoded(command), data_set)

    def abort(self) -> tuple[int, int]:
        """Return source and reason of the A-ABORT that comes next and last."""
        body = self._expect(7)
        assert self.pdu() is None
        return body[2], body[3]

    def rejection(self) -> tuple[int, int, int]:
        """Return result, source and reason of the A-ASSOCIATE-RJ that comes next and last."""
        body = self._expect(3)
        assert self.pdu() is None
        return body[1], body[2], body[3]

    def echo(self, context_id: int, message_id: int = 77) -> int | None:
        """Return the status of a C-ECHO: the association lives."""
        self.send(p_data(pdv(context_id, c_echo_rq(message_id), is_command=True)))
        response = self.message()
        assert response.us(0x0120) == message_id
        return response.status

    def release(self) -> None:
        """Release; the node answers and closes."""
        self.send(RELEASE_RQ)
        assert self.pdu() == (6, bytes(4))
        assert self.pdu() is None


def _decoded(data: bytes) -> dict[int, bytes]:
    elements, at = {}, 0
    while at < len(data):
        group, number, length = struct.unpack_from("<HHI", data, at)
        assert group == 0
        elements[number] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return elements
