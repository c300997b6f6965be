"""Waits have deadlines, writes lose nothing, and a closed connection is told from a slow one."""

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dimse.association.endings import ConnectionLost, DeadlinePassed, NodeStopping
from pacsnode.dimse.association.transport import Transport, _unsent
from tests.dimse_peers import loopback_pair, read_to_end, soon


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with loopback_pair() as pair:
        yield pair


@pytest.fixture
def peer(pair: tuple[socket.socket, socket.socket]) -> socket.socket:
    return pair[1]


@pytest.fixture
def transport(pair: tuple[socket.socket, socket.socket]) -> Transport:
    return Transport(pair[0])


def reset(connection: socket.socket) -> None:
    """Close so that the other side finds the connection reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def buffer(size: int = 100) -> memoryview:
    return memoryview(bytearray(size))


def test_what_is_sent_is_received_and_counted(transport: Transport, peer: socket.socket) -> None:
    peer.sendall(b"hello")
    view = buffer()
    assert transport.receive_into(view, soon()) == 5
    assert bytes(view[:5]) == b"hello"
    transport.send([b"wor", memoryview(b"ld")], soon())
    assert peer.recv(100) == b"world"
    assert (transport.bytes_received, transport.bytes_sent) == (5, 5)


def test_nothing_to_receive_now_is_not_waited_for(transport: Transport, peer: socket.socket) -> None:
    assert transport.receive_now(buffer()) == 0
    peer.sendall(b"x")
    transport.receive_into(buffer(), soon())


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.05])
def test_a_silent_peer_is_waited_for_until_the_deadline(
    transport: Transport, peer: socket.socket, seconds: float
) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlinePassed, match="nothing received"):
        transport.receive_into(buffer(), started + seconds)
    assert max(0.0, seconds) <= time.monotonic() - started < 5


def test_a_peer_that_takes_nothing_is_waited_for_until_the_deadline(
    transport: Transport, peer: socket.socket
) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlinePassed, match="nothing taken"):
        transport.send([bytes(1 << 20)] * 64, started + 0.1)
    assert 0.1 <= time.monotonic() - started < 5
    assert 0 < transport.bytes_sent < 64 << 20


def receive_for_ever(transport: Transport, deadline: float) -> None:
    while True:
        transport.receive_into(buffer(1), deadline)


def test_a_peer_that_drips_is_not_waited_for_longer(transport: Transport, peer: socket.socket) -> None:
    """The deadline is for all of what is waited for, whoever keeps it busy."""
    deadline, stop = time.monotonic() + 0.2, threading.Event()

    def drip() -> None:
        while not stop.wait(0.01):
            peer.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(DeadlinePassed):
            receive_for_ever(transport, deadline)
    finally:
        stop.set()
        thread.join()
    assert time.monotonic() < deadline + 5


def test_a_closed_connection_is_lost(transport: Transport, peer: socket.socket) -> None:
    peer.sendall(b"last")
    peer.close()
    assert transport.receive_into(buffer(), soon()) == 4
    for receive in (
        lambda: transport.receive_into(buffer(), soon()),
        lambda: transport.receive_now(buffer()),
    ):
        with pytest.raises(ConnectionLost, match="closed by the peer"):
            receive()


def test_a_reset_connection_is_lost(transport: Transport, peer: socket.socket) -> None:
    reset(peer)
    with pytest.raises(ConnectionLost):
        transport.receive_into(buffer(), soon())
    with pytest.raises(ConnectionLost):
        transport.send([b"x"], soon())


def test_a_transport_that_was_closed_is_lost(transport: Transport) -> None:
    transport.close()
    transport.close()
    transport.cut()
    with pytest.raises(ConnectionLost):
        transport.receive_now(buffer())
    with pytest.raises(ConnectionLost):
        transport.send([b"x"], soon())


def test_more_parts_than_the_kernel_takes_arrive_in_order(transport: Transport, peer: socket.socket) -> None:
    parts: list[bytes | memoryview] = [b"%05d" % number for number in range(3000)]
    transport.send(parts, soon())
    transport.close()
    assert read_to_end(peer) == b"".join(parts)


def test_a_slow_reader_gets_everything(transport: Transport, peer: socket.socket) -> None:
    data = os.urandom(8 << 20)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(read_to_end(peer)))
    reader.start()
    view = memoryview(data)
    transport.send([view[at : at + 100_003] for at in range(0, len(data), 100_003)], soon())
    transport.close()
    reader.join()
    assert found[0] == data
    assert transport.bytes_sent == len(data)


@given(st.lists(st.binary(max_size=9), max_size=12), st.integers(0, 200))
def test_what_is_unsent_is_what_follows(parts: list[bytes], sent: int) -> None:
    whole = b"".join(parts)
    sent = min(sent, len(whole))
    assert b"".join(map(bytes, _unsent(list(parts), sent))) == whole[sent:]


# Stopping


@pytest.fixture
def stop_descriptor() -> Iterator[int]:
    descriptor = os.eventfd(0, os.EFD_NONBLOCK)
    yield descriptor
    os.close(descriptor)


def test_an_idle_wait_ends_when_the_node_stops(
    pair: tuple[socket.socket, socket.socket], stop_descriptor: int
) -> None:
    transport = Transport(pair[0], stop_descriptor=stop_descriptor)
    os.eventfd_write(stop_descriptor, 1)
    with pytest.raises(NodeStopping):
        transport.receive_into(buffer(), soon(), is_idle=True)


def test_what_is_in_flight_goes_on_when_the_node_stops(
    pair: tuple[socket.socket, socket.socket], stop_descriptor: int
) -> None:
    transport = Transport(pair[0], stop_descriptor=stop_descriptor)
    os.eventfd_write(stop_descriptor, 1)
    with pytest.raises(DeadlinePassed):
        transport.receive_into(buffer(), time.monotonic() + 0.05)
    pair[1].sendall(b"x")
    assert transport.receive_into(buffer(), soon()) == 1
    pair[1].sendall(b"y")
    select.select([pair[0]], [], [], 10)
    assert transport.receive_into(buffer(), soon(), is_idle=True) == 1, "what has arrived is read first"


# Waiting for one of several


def test_waiting_ends_with_the_peer_the_descriptor_or_the_time(
    transport: Transport, peer: socket.socket, stop_descriptor: int
) -> None:
    started = time.monotonic()
    transport.wait_readable(stop_descriptor, started + 0.05)
    assert time.monotonic() - started >= 0.05
    os.eventfd_write(stop_descriptor, 1)
    transport.wait_readable(stop_descriptor, soon())
    os.eventfd_read(stop_descriptor)
    peer.sendall(b"x")
    transport.wait_readable(stop_descriptor, soon())
    started = time.monotonic()
    transport.wait_readable(stop_descriptor, started + 0.05, ignore_peer=True)
    assert time.monotonic() - started >= 0.05


# Closing


def test_finish_lets_the_last_bytes_arrive_although_more_came_in(
    transport: Transport, peer: socket.socket
) -> None:
    peer.sendall(bytes(100_000))
    transport.send([b"last words"], soon())
    finishing = threading.Thread(target=transport.finish, args=(10.0,))
    finishing.start()
    assert peer.recv(100) == b"last words"
    assert peer.recv(100) == b""
    peer.close()
    finishing.join(10)
    assert not finishing.is_alive()


def test_finish_does_not_wait_for_ever(transport: Transport, peer: socket.socket) -> None:
    started = time.monotonic()
    transport.finish(0.05)
    assert 0.05 <= time.monotonic() - started < 5
    transport.finish(0.05)


def test_a_cut_wakes_the_one_who_waits(transport: Transport, peer: socket.socket) -> None:
    lost: list[BaseException] = []

    def wait() -> None:
        try:
            transport.receive_into(buffer(), soon())
        except ConnectionLost as error:
            lost.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    transport.cut()
    thread.join(10)
    assert len(lost) == 1
