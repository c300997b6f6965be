"""The floor: a bare receiver that does the same durable steps as the node, and nothing else.

A thread for each association; C-STORE data go into an unnamed file as they arrive, `linkat`, one fsync, one row in a
WAL database with `synchronous=NORMAL` (one writer at a time), then Success. No checks, no limits, no deadlines, no
header scan, no identity, no duplicates: what a node costs beyond this is the price of being one.

usage: bare_receiver.py PORT DIR        (accepts every context with its first transfer syntax)

Port 0 is a free one. Once it listens it prints its port.
"""

import itertools
import os
import socket
import sqlite3
import struct
import sys
import threading

from pacsnode.dimse.association.acse import Decision, decode_request, encode_accept

MAX_PDU_BYTES = 262_144
SWITCH_SECONDS = 0.0001  # as the node


def read_exactly(connection: socket.socket, view: memoryview) -> None:
    """Fill the view; raises `EOFError` when the peer closes."""
    done = 0
    while done < len(view):
        size = connection.recv_into(view[done:])
        if not size:
            raise EOFError
        done += size


class Disk:
    """The durable steps. Methods may be called from several threads."""

    def __init__(self, folder: str) -> None:
        os.makedirs(f"{folder}/ready", exist_ok=True)
        self._folder = os.open(f"{folder}/ready", os.O_RDONLY | os.O_DIRECTORY)
        self._descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
        self._index = sqlite3.connect(f"{folder}/index.db", isolation_level=None, check_same_thread=False)
        self._index.execute("PRAGMA journal_mode = WAL")
        self._index.execute("PRAGMA synchronous = NORMAL")
        self._index.execute("CREATE TABLE IF NOT EXISTS instance (id INTEGER PRIMARY KEY, name TEXT)")
        last = self._index.execute("SELECT coalesce(max(id), 0) FROM instance").fetchone()[0]
        self._numbers = itertools.count(last + 1)
        self._writer = threading.Lock()

    def begin(self) -> int:
        """Return an unnamed file."""
        return os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=self._folder)

    def keep(self, descriptor: int) -> None:
        """Give it a name, make it durable, index it."""
        number = next(self._numbers)
        name = f"{number:016x}"
        os.link(
            str(descriptor), name, src_dir_fd=self._descriptors, dst_dir_fd=self._folder, follow_symlinks=True
        )
        os.fsync(descriptor)
        os.close(descriptor)
        with self._writer:
            self._index.execute("INSERT INTO instance VALUES (?, ?)", (number, name))


def serve(connection: socket.socket, disk: Disk) -> None:
    """Serve one association."""
    header, buffer = memoryview(bytearray(6)), memoryview(bytearray(1 << 20))
    descriptor, command = -1, b""
    while True:
        read_exactly(connection, header)
        kind, length = struct.unpack(">BxI", header)
        read_exactly(connection, buffer[:length])
        if kind == 1:
            request = decode_request(bytes(buffer[:length]))
            decisions = tuple(
                Decision(p.context_id, p.abstract_syntax, 0, p.transfer_syntaxes[0])
                for p in request.proposals
            )
            connection.sendall(encode_accept(request, decisions, {}, our_max_pdu_bytes=MAX_PDU_BYTES))
        elif kind == 5:
            connection.sendall(struct.pack(">BxIxxxx", 6, 4))
            return
        elif kind == 4:
            at = 0
            while at < length:
                size, context_id, control = struct.unpack_from(">IBB", buffer, at)
                fragment = buffer[at + 6 : at + 4 + size]
                at += 4 + size
                if control & 1:
                    command, descriptor = bytes(fragment), disk.begin()
                else:
                    os.write(descriptor, fragment)
                    if control & 2:
                        disk.keep(descriptor)
                        connection.sendall(success(context_id, command))


def success(context_id: int, command: bytes) -> bytes:
    """Return the C-STORE-RSP that answers a C-STORE-RQ."""
    elements, at = {}, 0
    while at < len(command):
        _, number, size = struct.unpack_from("<HHI", command, at)
        elements[number] = command[at + 8 : at + 8 + size]
        at += 8 + size
    body = b"".join(
        struct.pack("<HHI", 0, number, len(value)) + value
        for number, value in (
            (0x0002, elements[0x0002]),
            (0x0100, b"\x01\x80"),
            (0x0120, elements[0x0110]),
            (0x0800, b"\x01\x01"),
            (0x0900, b"\0\0"),
            (0x1000, elements[0x1000]),
        )
    )
    message = struct.pack("<HHII", 0, 0, 4, len(body)) + body
    return struct.pack(">BxIIBB", 4, len(message) + 6, len(message) + 2, context_id, 3) + message


def serve_and_close(connection: socket.socket, disk: Disk) -> None:
    """Serve one association, in a thread of its own, until it is released or lost."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        try:
            serve(connection, disk)
        except (EOFError, OSError):
            return


def main(port: int, folder: str) -> None:
    """Listen until killed."""
    sys.setswitchinterval(SWITCH_SECONDS)
    disk = Disk(folder)
    with socket.create_server(("127.0.0.1", port), backlog=128) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve_and_close, args=(connection, disk), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
