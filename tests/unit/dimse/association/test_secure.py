"""A connection with TLS behaves as a plain one: nothing lost, every wait bounded, ends told apart."""

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacsnode.dimse.association.endings import ConnectionLost, DeadlinePassed, NodeStopping
from pacsnode.dimse.association.secure import SecureTransport, _pieces, handshake, shown
from pacsnode.tls import ClientTLS, client_context
from tests.certificates import Certificates
from tests.dimse_peers import loopback_pair, soon

_SIZES = st.lists(
    st.one_of(st.integers(0, 40), st.integers(16_300, 16_500), st.integers(65_500, 200_000)), max_size=6
)


@dataclass
class Ends:
    """Our transport, and the TLS socket of the peer."""

    transport: SecureTransport
    peer: ssl.SSLSocket


@contextmanager
def ends(certificates: Certificates, *, stop: int | None = None, version: str = "TLSv1_3") -> Iterator[Ends]:
    serving = certificates.serving(certificates.server)
    serving.maximum_version = ssl.TLSVersion[version]
    with loopback_pair() as (ours, theirs):
        accepted: list[ssl.SSLSocket] = []
        theirs.settimeout(30)
        thread = threading.Thread(
            target=lambda: accepted.append(serving.wrap_socket(theirs, server_side=True))
        )
        thread.start()
        context = client_context(ClientTLS(certificates.ca))
        secured = handshake(ours, "127.0.0.1", context, soon())
        thread.join(30)
        transport = SecureTransport(secured, stop_descriptor=stop)
        try:
            yield Ends(transport, accepted[0])
        finally:
            transport.close()
            accepted[0].close()


def read(peer: ssl.SSLSocket, size: int) -> bytes:
    taken = bytearray()
    while len(taken) < size:
        piece = peer.recv(size - len(taken))
        assert piece, "closed early"
        taken += piece
    return bytes(taken)


def received(transport: SecureTransport, size: int, window: int) -> bytes:
    taken, view = bytearray(), memoryview(bytearray(window))
    while len(taken) < size:
        taken += view[: transport.receive_into(view, soon())]
    return bytes(taken)


@settings(max_examples=25)
@given(sizes=_SIZES, window=st.integers(1_000, 100_000), version=st.sampled_from(["TLSv1_2", "TLSv1_3"]))
def test_nothing_is_lost_in_either_direction(
    certificates: Certificates, sizes: list[int], window: int, version: str
) -> None:
    parts = [os.urandom(size) for size in sizes]
    whole = b"".join(parts)
    with ends(certificates, version=version) as pair:
        echoed: list[bytes] = []

        def echo() -> None:
            echoed.append(read(pair.peer, len(whole)))
            pair.peer.sendall(echoed[0])

        thread = threading.Thread(target=echo)
        thread.start()
        pair.transport.send([memoryview(part) for part in parts], soon())
        assert received(pair.transport, len(whole), window) == whole
        thread.join(30)
        assert echoed == [whole]
        assert (pair.transport.bytes_sent, pair.transport.bytes_received) == (len(whole), len(whole))


@given(sizes=st.lists(st.integers(0, 200_000), max_size=8))
def test_writes_are_whole_records(sizes: list[int]) -> None:
    parts = [bytes([at]) * size for at, size in enumerate(sizes)]
    pieces = list(_pieces(list(parts)))
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) >= 16_384 for piece in pieces[:-1])


def test_names_are_shown_as_somebody_else_has_written_them() -> None:
    assert shown([]) == "nobody"
    assert shown(["a\x1b[2J", "b"]) == "a?[2J, b"
    assert shown([str(at) for at in range(7)]) == "0, 1, 2, 3, 4, 2 more"


def test_what_tls_holds_is_not_waited_for(certificates: Certificates) -> None:
    with ends(certificates) as pair:
        pair.peer.sendall(b"hello")
        assert pair.transport.receive_into(memoryview(bytearray(2)), soon()) == 2
        past = time.monotonic() - 1
        pair.transport.wait_to_receive(past)
        wake = os.eventfd(0)
        try:
            pair.transport.wait_readable(wake, soon())
        finally:
            os.close(wake)
        assert pair.transport.receive_into(memoryview(bytearray(9)), past, is_idle=True) == 3
        assert pair.transport.receive_now(memoryview(bytearray(9))) == 0


def test_reading_that_has_to_write_first_waits_for_room(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a change of keys, which the TLS layer answers within a read."""
    with ends(certificates) as pair:
        answers = iter([ssl.SSLWantWriteError(), 0])

        def recv_into(_: memoryview) -> int:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(pair.transport._secured, "recv_into", recv_into)
        with pytest.raises(ConnectionLost, match="closed by the peer"):  # nothing comes, and yet it goes on
            pair.transport.receive_into(memoryview(bytearray(9)), soon())


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.05])
def test_a_silent_peer_is_waited_for_until_the_deadline(certificates: Certificates, seconds: float) -> None:
    with ends(certificates) as pair:
        started = time.monotonic()
        with pytest.raises(DeadlinePassed, match="nothing received"):
            pair.transport.receive_into(memoryview(bytearray(9)), started + seconds)
        assert max(0.0, seconds) <= time.monotonic() - started < 5


def test_a_peer_that_takes_nothing_is_waited_for_until_the_deadline(certificates: Certificates) -> None:
    with ends(certificates) as pair:
        started = time.monotonic()
        with pytest.raises(DeadlinePassed, match="nothing taken"):
            pair.transport.send([bytes(1 << 20)] * 64, started + 0.1)
        assert 0.1 <= time.monotonic() - started < 5


def test_an_idle_connection_ends_when_the_node_stops(certificates: Certificates) -> None:
    stop = os.eventfd(1)
    try:
        with ends(certificates, stop=stop) as pair, pytest.raises(NodeStopping):
            pair.transport.receive_into(memoryview(bytearray(9)), soon(), is_idle=True)
    finally:
        os.close(stop)


def test_the_peer_is_told_of_the_end(certificates: Certificates) -> None:
    with ends(certificates) as pair:
        pair.peer.suppress_ragged_eofs = False  # an end without close_notify raises
        pair.transport.send([b"bye"], soon())
        pair.transport.close()
        pair.transport.close()
        assert read(pair.peer, 3) == b"bye"
        assert pair.peer.recv(9) == b""


def test_finishing_waits_for_the_peer_and_drops_what_it_still_sends(certificates: Certificates) -> None:
    with ends(certificates) as pair:
        pair.peer.sendall(b"late")
        pair.transport.send([b"abort"], soon())
        thread = threading.Thread(target=pair.transport.finish, args=(30,))
        thread.start()
        assert read(pair.peer, 5) == b"abort"
        assert pair.peer.recv(9) == b""
        pair.peer.close()
        thread.join(10)
        assert not thread.is_alive()


def test_finishing_gives_the_peer_time_to_read(certificates: Certificates) -> None:
    """Closing at once, with bytes of the peer unread, would reset the connection and an A-ABORT with it."""
    with ends(certificates) as pair:
        pair.peer.sendall(b"late")
        pair.transport.send([b"abort"], soon())
        thread = threading.Thread(target=pair.transport.finish, args=(30,))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive(), "closed before the peer did"
        pair.peer.sendall(b"later")
        assert read(pair.peer, 5) == b"abort"
        pair.peer.close()
        thread.join(10)
        assert not thread.is_alive()


def test_finishing_does_not_wait_for_ever(certificates: Certificates) -> None:
    with ends(certificates) as pair:
        started = time.monotonic()
        pair.transport.finish(0.05)
        assert 0.05 <= time.monotonic() - started < 5


def test_a_write_that_has_to_read_first_is_bounded_whatever_tls_holds(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wants_to_read(_: object) -> int:
        raise ssl.SSLWantReadError

    with ends(certificates) as pair:
        pair.peer.sendall(b"hello")
        received(pair.transport, 1, 1)  # the rest is held
        monkeypatch.setattr(pair.transport._secured, "send", wants_to_read)
        with pytest.raises(DeadlinePassed):
            pair.transport.send([b"x"], time.monotonic() + 0.05)


def test_a_peer_that_closes(certificates: Certificates) -> None:
    with ends(certificates) as pair:
        pair.peer.sendall(b"x")
        received(pair.transport, 1, 9)
        pair.peer.close()
        with pytest.raises(ConnectionLost, match=r"^connection closed by the peer$"):
            pair.transport.receive_into(memoryview(bytearray(9)), soon())


def test_a_peer_that_closes_at_once_may_want_a_certificate(certificates: Certificates) -> None:
    with ends(certificates) as pair:
        pair.peer.close()
        with pytest.raises(ConnectionLost, match="may want a certificate from us"):
            pair.transport.receive_into(memoryview(bytearray(9)), soon())


def test_bytes_that_are_no_tls(certificates: Certificates) -> None:
    with ends(certificates) as pair:
        socket.socket.send(pair.peer, b"\x07\x00" * 100)
        with pytest.raises(ConnectionLost, match="connection lost: "):
            pair.transport.receive_into(memoryview(bytearray(9)), soon())
        with pytest.raises(ConnectionLost):
            pair.transport.send([b"x"], soon())


def test_another_thread_can_cut_it(certificates: Certificates) -> None:
    with ends(certificates) as pair:
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                pair.transport.receive_into(memoryview(bytearray(9)), soon())
            except ConnectionLost as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        pair.transport.cut()
        thread.join(10)
        assert not thread.is_alive()
        assert len(ended) == 1
