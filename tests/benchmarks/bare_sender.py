"""The floor of retrieving: a bare sender that answers each C-GET and C-MOVE with the files of a folder.

A thread for each association. Each file is opened, read into one buffer that is used again, framed with one gathered
write, and the answer is awaited before the next one. No index, no checks, no checksum, no limits, no deadlines, no
Pending, no counts but one: what a node costs beyond this is the price of being one.

usage: bare_sender.py FOLDER DESTINATION_PORT        (each C-MOVE goes to the AE DEST on that port)

Once it listens, on a free port, it prints that.
"""

import os
import socket
import struct
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    DEFAULT_ROLES,
    AssociateRequest,
    Decision,
    Proposal,
    decode_accept,
    decode_request,
    encode_accept,
    encode_request,
)
from pacsnode.dimse.association.command import A_DATA_SET, CommandField, CommandSet, Element, encode, ui, us
from pacsnode.dimse.association.command import response as response_to
from pacsnode.dimse.association.framing import Framing
from pacsnode.dimse.association.pdu import A_RELEASE_RP, A_RELEASE_RQ, PDUType
from tests.benchmarks.bare_receiver import MAX_PDU_BYTES, SWITCH_SECONDS, read_exactly


@dataclass(frozen=True)
class Instance:
    """A file of the folder: its command set but for the message ID, and where its data set begins."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    offset: int

    @classmethod
    def of(cls, path: Path) -> "Instance":
        """Look into a file."""
        with path.open("rb") as file:
            ds = dcmread(file, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
            file.seek(140)
            offset = 144 + int.from_bytes(file.read(4), "little")
        return cls(path, str(ds.SOPClassUID), str(ds.SOPInstanceUID), offset)

    def command(self, message_id: int) -> bytes:
        """Return its C-STORE-RQ."""
        return encode(
            (
                (Element.AFFECTED_SOP_CLASS_UID, ui(self.sop_class_uid)),
                (Element.COMMAND_FIELD, us(CommandField.C_STORE)),
                (Element.MESSAGE_ID, us(message_id)),
                (Element.PRIORITY, us(0)),
                (Element.COMMAND_DATA_SET_TYPE, us(A_DATA_SET)),
                (Element.AFFECTED_SOP_INSTANCE_UID, ui(self.sop_instance_uid)),
            )
        )


class Line:
    """A connection on which instances are sent."""

    def __init__(self, connection: socket.socket, context_id: int, peer_max_pdu_bytes: int) -> None:
        self.connection = connection
        self._context_id = context_id
        self._framing = Framing(peer_max_pdu_bytes)
        self._buffer = memoryview(bytearray(1 << 20))

    def store_all(self, instances: list[Instance]) -> None:
        """Send all, one after another."""
        for number, instance in enumerate(instances, 1):
            descriptor = os.open(instance.path, os.O_RDONLY)
            size = os.preadv(descriptor, [self._buffer], instance.offset)
            os.close(descriptor)
            message_id = number % 0xFFFF + 1
            parts = self._framing.message(self._context_id, instance.command(message_id), self._buffer[:size])
            send(self.connection, parts)
            read_pdu(self.connection)


def send(connection: socket.socket, parts: list[bytes | memoryview]) -> None:
    """Write all parts, gathered."""
    while parts:
        sent = connection.sendmsg(parts)
        while parts and sent >= len(parts[0]):
            sent -= len(parts.pop(0))
        if sent:
            parts[0] = memoryview(parts[0])[sent:]


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Return type and body of a PDU."""
    header = memoryview(bytearray(6))
    read_exactly(connection, header)
    kind, length = struct.unpack(">BxI", header)
    body = bytearray(length)
    read_exactly(connection, memoryview(body))
    return kind, bytes(body)


def moved(port: int, instances: list[Instance]) -> None:
    """Send all to the destination over one association."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        proposal = Proposal(1, instances[0].sop_class_uid, (EXPLICIT_VR_LITTLE_ENDIAN,))
        request = AssociateRequest("DEST", "BARE", APPLICATION_CONTEXT_NAME, (proposal,), MAX_PDU_BYTES)
        connection.sendall(encode_request(request, our_max_pdu_bytes=MAX_PDU_BYTES))
        accept = decode_accept(read_pdu(connection)[1])
        Line(connection, 1, accept.max_pdu_bytes).store_all(instances)
        connection.sendall(A_RELEASE_RQ)
        read_pdu(connection)


def serve(connection: socket.socket, instances: list[Instance], destination_port: int) -> None:
    """Serve one association."""
    sop_class, storage_context, peer_max_pdu_bytes, command = instances[0].sop_class_uid, 0, 0, b""
    while True:
        kind, body = read_pdu(connection)
        if kind == PDUType.A_ASSOCIATE_RQ:
            request = decode_request(body)
            peer_max_pdu_bytes = request.max_pdu_bytes
            decisions = [
                Decision(p.context_id, p.abstract_syntax, 0, p.transfer_syntaxes[0])
                for p in request.proposals
            ]
            storage_context = next(
                (p.context_id for p in request.proposals if p.abstract_syntax == sop_class), 0
            )
            roles = {sop_class: request.roles.get(sop_class, DEFAULT_ROLES)}
            accept = encode_accept(
                request, decisions, roles if storage_context else {}, our_max_pdu_bytes=MAX_PDU_BYTES
            )
            connection.sendall(accept)
        elif kind == PDUType.A_RELEASE_RQ:
            connection.sendall(A_RELEASE_RP)
            return
        elif kind == PDUType.P_DATA_TF:
            command, context_id, is_whole = _request(body, command)
            if not is_whole:
                continue
            asked = CommandSet.decode(command)
            if asked.field == CommandField.C_GET:
                Line(connection, storage_context, peer_max_pdu_bytes).store_all(instances)
            else:
                moved(destination_port, instances)
            counts = ((Element.NUMBER_OF_COMPLETED_SUB_OPERATIONS, len(instances)),)
            send(connection, Framing(0).message(context_id, response_to(asked, 0, counts=counts)))


def _request(body: bytes, command: bytes) -> tuple[bytes, int, bool]:
    """Return the command set, its context, and whether the last fragment of the Identifier is in the PDU."""
    at, is_whole, context_id = 0, False, 0
    while at < len(body):
        size, context_id, control = struct.unpack_from(">IBB", body, at)
        if control & 1:
            command = body[at + 6 : at + 4 + size]
        else:
            is_whole = bool(control & 2)
        at += 4 + size
    return command, context_id, is_whole


def serve_and_close(connection: socket.socket, instances: list[Instance], destination_port: int) -> None:
    """Serve one association, in a thread of its own, until it is released or lost."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        try:
            serve(connection, instances, destination_port)
        except (EOFError, OSError):
            return


def main(folder: Path, destination_port: int) -> None:
    """Listen until killed."""
    sys.setswitchinterval(SWITCH_SECONDS)
    instances = [Instance.of(path) for path in sorted(folder.iterdir())]
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(
                target=serve_and_close, args=(connection, instances, destination_port), daemon=True
            ).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
