"""The lobby: connections wait until their whole request is there, and never keep anybody out."""

import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pacsnode.accepting import Turns, shared_counts
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Proposal,
    decode_request,
    encode_request,
)
from pacsnode.dimse.association.lobby import Address, Lobby
from pacsnode.dimse.association.pdu import A_RELEASE_RP, A_RELEASE_RQ, HEADER, a_abort
from tests.dimse_peers import VERIFICATION, echo_request, read_to_end

REQUEST = AssociateRequest(
    "PACSNODE", "CT1", APPLICATION_CONTEXT_NAME, (Proposal(1, VERIFICATION, ("1.2.840.10008.1.2.1",)),), 16384
)
PDU = encode_request(REQUEST, our_max_pdu_bytes=16384)


class Hall:
    """A lobby on loopback, and who has entered and left it."""

    def __init__(self, *, capacity: int = 1000, seconds: float = 20.0, turns: Turns | None = None) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=2000)
        self.port = self.listening.getsockname()[1]
        self.entered: list[tuple[socket.socket, Address, bytes]] = []
        self.left: list[tuple[Address, str]] = []
        self.probes: list[Address] = []
        self._changed = threading.Condition()
        self.lobby = Lobby(
            self.listening,
            enter=self._enter,
            leave=self._leave,
            probed=self._probed,
            capacity=capacity,
            seconds=seconds,
            turns=turns,
        )
        self.lobby.start()

    def _enter(self, *who: object) -> None:
        with self._changed:
            self.entered.append(who)  # type: ignore[arg-type]
            self._changed.notify_all()

    def _leave(self, *who: object) -> None:
        with self._changed:
            self.left.append(who)  # type: ignore[arg-type]
            self._changed.notify_all()

    def _probed(self, address: Address) -> None:
        with self._changed:
            self.probes.append(address)
            self._changed.notify_all()

    def wait(self, *, entered: int = 0, left: int = 0, probes: int = 0) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: (
                    len(self.entered) >= entered and len(self.left) >= left and len(self.probes) >= probes
                ),
                20,
            ), (
                self.entered,
                self.left,
                self.probes,
            )

    def wait_until_gone(self) -> None:
        """A reset may reach the lobby before the bytes that were sent, which makes a probe of it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.left) + len(self.probes) >= 1, 20)

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.settimeout(20.0)
        return connection

    def close(self) -> None:
        self.lobby.stop()
        for connection, _, _ in self.entered:
            connection.close()


@pytest.fixture
def hall() -> Iterator[Hall]:
    hall = Hall()
    yield hall
    hall.close()


@pytest.mark.parametrize("piece_bytes", [1, 5, 6, 7, 100, len(PDU)])
def test_a_request_enters_when_it_is_whole(hall: Hall, piece_bytes: int) -> None:
    with hall.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(PDU), piece_bytes):
            connection.sendall(PDU[at : at + piece_bytes])
        hall.wait(entered=1)
        ((entered, address, body),) = hall.entered
        assert decode_request(body) == REQUEST
        assert str(address) == "{}:{}".format(*connection.getsockname())
        connection.sendall(b"x")
        entered.settimeout(20.0)
        assert entered.recv(10) == b"x"


def test_what_follows_a_request_stays_in_the_connection(hall: Hall) -> None:
    with hall.connect() as connection:
        connection.sendall(PDU + echo_request(5))
        hall.wait(entered=1)
        hall.entered[0][0].settimeout(20.0)
        assert hall.entered[0][0].recv(6) == echo_request(5)[:6]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (a_abort(0, 0), b""),
        (A_RELEASE_RQ, a_abort(2, 2)),
        (A_RELEASE_RP, a_abort(2, 2)),
        (HEADER.pack(2, len(PDU) - 6), a_abort(2, 2)),
        (HEADER.pack(4, 100), a_abort(2, 2)),
        (b"GET / ", a_abort(2, 1)),
        (b"SSH-2.0-OpenSSH_9"[:6], a_abort(2, 1)),
        (b"\x16\x03\x01\x02\x00\x01", a_abort(2, 1)),
        (HEADER.pack(1, (256 << 10) + 1), a_abort(2, 6)),
        (HEADER.pack(1, 0xFFFFFFFF), a_abort(2, 6)),
    ],
)
def test_what_can_be_no_request_is_closed_after_its_header(hall: Hall, sent: bytes, answer: bytes) -> None:
    with hall.connect() as connection:
        connection.sendall(sent)
        assert read_to_end(connection) == answer
    hall.wait(left=1)
    assert hall.entered == []


@pytest.mark.parametrize("arrived", [0, 3, 6, 50, len(PDU) - 1])
def test_a_request_that_does_not_come_whole_is_closed_in_time(arrived: int) -> None:
    hall = Hall(seconds=0.2)
    with hall.connect() as connection:
        connection.sendall(PDU[:arrived])
        started = time.monotonic()
        assert read_to_end(connection) == b""
        assert 0.1 <= time.monotonic() - started < 5
    hall.wait(left=1)
    assert "time limit" in hall.left[0][1]
    hall.close()


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("arrived", [3, 50])
def test_a_connection_that_goes_frees_its_place(hall: Hall, arrived: int, is_reset: bool) -> None:
    connection = hall.connect()
    connection.sendall(PDU[:arrived])
    if is_reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    hall.wait_until_gone()
    assert hall.lobby._guests == {}


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_connection_that_goes_without_a_byte_is_a_probe(hall: Hall, is_reset: bool) -> None:
    connection = hall.connect()
    address = "{}:{}".format(*connection.getsockname())
    if is_reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    hall.wait(probes=1)
    assert (list(map(str, hall.probes)), hall.left) == ([address], [])
    assert hall.lobby._guests == {}


def test_each_connection_is_counted_until_it_goes() -> None:
    """A health check too, of which there are thousands a day."""
    descriptor = shared_counts(2)
    other = Turns(descriptor, 1)
    hall = Hall(turns=Turns(descriptor, 0))
    try:
        for sent in (b"", b"GET / ", PDU[:9], PDU):
            with hall.connect() as connection:
                connection.sendall(sent)
        hall.wait(probes=1, left=2, entered=1)
        other.taken()
        assert other.is_ours(), "as many as here: the one that has entered"
        other.taken()
        assert not other.is_ours()
    finally:
        hall.close()
        os.close(descriptor)


def test_when_it_is_full_the_longest_silent_one_gives_way() -> None:
    hall = Hall(capacity=3)
    with ExitStack() as stack:
        silent = [stack.enter_context(hall.connect()) for _ in range(5)]
        hall.wait(left=2)
        assert [read_to_end(one) for one in silent[:2]] == [b"", b""]
        assert {reason for _, reason in hall.left} == {"limits.pre_association reached"}
        silent[4].sendall(PDU)
        hall.wait(entered=1)
    hall.close()


def test_without_descriptors_the_oldest_gives_way_and_the_next_is_served() -> None:
    hall = Hall()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        guests = [stack.enter_context(hall.connect()) for _ in range(3)]
        guests[1].sendall(PDU)
        hall.wait(entered=1)
        late = stack.enter_context(socket.socket())
        late.settimeout(20.0)
        in_use = max(int(name) for name in os.listdir("/proc/self/fd"))
        held = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 2, hard))
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            late.connect(("127.0.0.1", hall.port))
            late.sendall(PDU)
            hall.wait(entered=2, left=1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in held:
                os.close(descriptor)
        assert hall.left[0][1] == "no descriptors left"
    hall.close()


def test_a_thousand_silent_connections_keep_nobody_out() -> None:
    """RELIABILITY A1; the rate is the benchmarks' matter."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("needs 4,096 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    hall = Hall(capacity=1000, seconds=1.0)
    try:
        with ExitStack() as stack:
            silent = [stack.enter_context(hall.connect()) for _ in range(1000)]
            speaking = stack.enter_context(hall.connect())
            speaking.sendall(PDU)
            hall.wait(entered=1)
            hall.wait(left=1000)
            assert [read_to_end(one) for one in silent] == [b""] * 1000
    finally:
        hall.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_empty_lobby_never_wakes(hall: Hall) -> None:
    assert hall.lobby._next_deadline() is None


def test_stop_closes_who_waits(hall: Hall) -> None:
    with hall.connect() as connection:
        connection.sendall(PDU[:20])
        other = hall.connect()
        other.sendall(PDU)
        hall.wait(entered=1)
        hall.lobby.stop()
        assert read_to_end(connection) == b""
        other.close()
    assert [reason for _, reason in hall.left] == ["the node stops"]
    hall.lobby = Hall().lobby  # for the fixture's end
