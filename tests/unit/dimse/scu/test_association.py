"""One association as SCU: how it ends when the remote does not do what it should."""

import socket

import pytest

from pacsnode.dimse import scu
from pacsnode.dimse.association.pdu import A_RELEASE_RQ, a_abort
from pacsnode.dimse.scu import Caller, RemoteFailure
from pacsnode.errors import NetworkError
from tests.dimse_peers import CalledPeer, accepting, read_to_end
from tests.unit.dimse.scu.peers import (
    CALLER,
    ECHO,
    IMPLICIT,
    aborted,
    answering,
    remote,
    request_of,
    with_comment,
)


def test_a_failure_of_the_remote_is_said_and_the_association_released() -> None:
    with CalledPeer(answering(with_comment(ECHO, 0x0122, b"no such class "))) as peer:
        with pytest.raises(RemoteFailure, match="0x0122: no such class") as raised:
            scu.echo(CALLER, remote(peer))
        assert raised.value.status == 0x0122
    request_of(peer)


def test_a_context_that_is_refused_is_a_network_error() -> None:
    def answer(connection: socket.socket) -> bytes:
        accepting(connection, results={1: (3, IMPLICIT)})
        return read_to_end(connection)

    with CalledPeer(answer) as peer, pytest.raises(NetworkError, match="does not offer this service"):
        scu.echo(CALLER, remote(peer))
    assert peer.results == [a_abort(0, 0)]


@pytest.mark.parametrize(
    ("sent", "says", "answered"),
    [
        (a_abort(0, 0), "aborted by the peer", b""),
        (A_RELEASE_RQ, "a release while a response is due", a_abort(0, 0)),
        (b"garbage", "does not exist", a_abort(2, 1)),
    ],
)
def test_a_remote_that_breaks_off_is_a_network_error(sent: bytes, says: str, answered: bytes) -> None:
    with CalledPeer(lambda connection: aborted(connection, sent)) as peer:
        with pytest.raises(NetworkError, match=says) as raised:
            scu.echo(CALLER, remote(peer))
        assert "STORE@127.0.0.1" in str(raised.value)
    assert peer.results == [answered]


def test_a_remote_that_does_not_answer() -> None:
    caller = Caller("SCU", acse_timeout_seconds=5.0, dimse_timeout_seconds=0.1)
    with CalledPeer(aborted) as peer, pytest.raises(NetworkError, match="time limit"):
        scu.echo(caller, remote(peer))
    assert peer.results == [a_abort(0, 0)]
