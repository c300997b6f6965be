"""Clients that cost little themselves: DCMTK's storescu, and associations made by hand on a socket."""

import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dimse.association.acse import AssociateRequest, Proposal, decode_accept, encode_request
from pacsnode.dimse.association.command import CommandField
from pacsnode.dimse.association.pdu import HEADER, IS_LAST, P_DATA_HEADER, PDUType
from pacsnode.dimse.scu import Remote
from tests.benchmarks.rounds import together
from tests.dimse_peers import echo_request, message, p_data, read_message, read_pdu, request_command
from tests.dimse_peers import elements_of as elements

STORESCU = "/usr/bin/storescu"  # by path, since pynetdicom installs a script of that name
VERIFICATION = "1.2.840.10008.1.1"
FIND_STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
MAX_PDU_BYTES = 131_072
MAX_CONTEXTS = 128

# Without TCP_NODELAY DCMTK sends a request in two segments, and Nagle's algorithm with delayed ACK adds 40 ms to each.
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
_STATUS_SUCCESS = b"\0\0\0\x09\x02\0\0\0\0\0"  # the last element of a final response
_SECONDS = 120.0


def storescu(remote: Remote, folder: Path, *, nice: int = 0) -> "subprocess.Popen[bytes]":
    """Start to send a folder over one association, with new SOP Instance UIDs."""
    return subprocess.Popen(
        [
            "nice", "-n", str(nice), STORESCU, "-aec", remote.ae_title, "--max-pdu", str(MAX_PDU_BYTES), "+II", "+sd",
            remote.host, str(remote.port), str(folder),
        ],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def sent(job: "subprocess.Popen[bytes]") -> None:
    """Wait until it has sent everything. Raises `RuntimeError` if it has not."""
    said = job.communicate()[1]
    if job.returncode:
        raise RuntimeError(f"storescu: exit {job.returncode}: {said[-300:]!r}")


def store_seconds(remote: Remote, folders: Sequence[Path]) -> list[float]:
    """Send folders side by side, an association each; return how long each took."""
    took: list[float] = []

    def send(folder: Path) -> None:
        start = time.perf_counter()
        sent(storescu(remote, folder))
        took.append(time.perf_counter() - start)

    jobs: list[Callable[[], None]] = [lambda folder=folder: send(folder) for folder in folders]  # type: ignore[misc]
    together(jobs)
    return took


def store_rate(remote: Remote, folders: Sequence[Path]) -> float:
    """Send folders side by side; return the instances a second."""
    count = sum(len(list(folder.iterdir())) for folder in folders)
    start = time.perf_counter()
    store_seconds(remote, folders)
    return count / (time.perf_counter() - start)


class HandMade:
    """An association on a socket, without anything between. A context manager that releases.

    `contexts` so many are proposed, of which the first is for the abstract syntax.
    """

    def __init__(self, remote: Remote, abstract_syntax: str = VERIFICATION, *, contexts: int = 1) -> None:
        self.request = associate_request(remote, abstract_syntax, contexts)
        self._abstract_syntax = abstract_syntax
        self.connection = socket.create_connection((remote.host, remote.port), timeout=_SECONDS)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        self.connection.sendall(self.request)
        kind, body = read_pdu(self.connection)
        if kind != PDUType.A_ASSOCIATE_AC:
            raise RuntimeError(f"no association: PDU type {kind:#04x}, {body.hex()}")
        self.max_pdu_bytes = decode_accept(body).max_pdu_bytes or MAX_PDU_BYTES
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.connection:
            if kind is None:
                self.connection.sendall(struct.pack(">BxIxxxx", PDUType.A_RELEASE_RQ, 4))
                read_pdu(self.connection)

    def echo(self) -> None:
        """C-ECHO and its answer."""
        self.connection.sendall(echo_request())
        read_pdu(self.connection)

    def find_all(self, identifier: bytes) -> int:
        """C-FIND, reading answers without looking at them; return their bytes."""
        command = request_command(CommandField.C_FIND, self._abstract_syntax, has_data_set=True)
        self.connection.sendall(message(1, command, identifier))
        view, size, tail = memoryview(bytearray(1 << 20)), 0, b""
        while not tail.endswith(_STATUS_SUCCESS):
            got = self.connection.recv_into(view)
            if not got:
                raise EOFError
            size, tail = size + got, (tail + bytes(view[max(0, got - 64) : got]))[-64:]
        return size

    def store(self, uid: str, prologue: bytes, pixel_bytes: int) -> None:
        """C-STORE of an instance whose pixels, all zero, are never there as a whole."""
        command = request_command(
            CommandField.C_STORE, self._abstract_syntax, has_data_set=True, instance=uid
        )
        self.connection.sendall(message(1, command) + p_data(1, (0, prologue)))
        largest = min(self.max_pdu_bytes, 1 << 20) - (P_DATA_HEADER.size - HEADER.size)
        full = p_data(1, (0, bytes(largest)))
        whole, rest = divmod(pixel_bytes, largest)
        for _ in range(whole):
            self.connection.sendall(full)
        self.connection.sendall(p_data(1, (IS_LAST, bytes(rest))))
        status = elements(read_message(self.connection).command)[0x0900]
        if status != b"\0\0":
            raise RuntimeError(f"not stored: status {status.hex()}")


def associate_request(remote: Remote, abstract_syntax: str, contexts: int) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU, as a modality's that offers everything that it knows."""
    syntaxes = (abstract_syntax, *(f"1.2.840.10008.5.1.4.1.1.{at}" for at in range(1, contexts)))
    proposals = tuple(
        Proposal(2 * at + 1, syntax, (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN))
        for at, syntax in enumerate(syntaxes)
    )
    request = AssociateRequest(remote.ae_title, "BENCH", "1.2.840.10008.3.1.1.1", proposals, MAX_PDU_BYTES)
    return encode_request(request, our_max_pdu_bytes=MAX_PDU_BYTES)


def association_seconds(remote: Remote, *, contexts: int = 1) -> float:
    """Return how long association, C-ECHO and release take."""
    start = time.perf_counter()
    with HandMade(remote, contexts=contexts) as made:
        made.echo()
    return time.perf_counter() - start
