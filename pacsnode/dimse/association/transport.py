"""A TCP connection whose every wait has a deadline.

The socket does not block: a call is tried first, and only when there is nothing to read, or no room to write,
the thread waits in `poll` until the deadline. A busy stream so costs one system call a read. Deadlines are
monotonic.
"""

import select
import socket
import time

from pacsnode.dimse.association.endings import ConnectionLost, DeadlinePassed, NodeStopping
from pacsnode.observe import NODE_STOPS

_MAX_GATHERED = 512  # IOV_MAX is 1,024


class Transport:
    """One connected socket, used by one thread. `stop_descriptor` becomes readable when the node stops."""

    def __init__(self, connection: socket.socket, *, stop_descriptor: int | None = None) -> None:
        connection.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._stop_descriptor = stop_descriptor
        self._readable, self._readable_or_stopping = select.poll(), select.poll()
        self._writable = select.poll()
        self._readable.register(connection, select.POLLIN)
        self._readable_or_stopping.register(connection, select.POLLIN)
        self._writable.register(connection, select.POLLOUT)
        if stop_descriptor is not None:
            self._readable_or_stopping.register(stop_descriptor, select.POLLIN)
        self.bytes_received = 0
        self.bytes_sent = 0

    def receive_into(self, view: memoryview, deadline: float, *, is_idle: bool = False) -> int:
        """Return how many bytes were read, at least one, by the monotonic deadline.

        Raises `ConnectionLost`, `DeadlinePassed`, and `NodeStopping` if the node stops while `is_idle`.
        """
        if is_idle:  # a peer that has its answer takes a while for its next request
            self._wait(self._readable_or_stopping, deadline)
        while (size := self.receive_now(view)) == 0:
            self._wait(self._readable_or_stopping if is_idle else self._readable, deadline)
        return size

    def wait_to_receive(self, deadline: float) -> None:
        """Wait until there is something to read; raises `DeadlinePassed`."""
        self._wait(self._readable, deadline)

    def receive_now(self, view: memoryview) -> int:
        """Return how many bytes were read without waiting, 0 if there are none; raises `ConnectionLost`."""
        try:
            size = self._socket.recv_into(view)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ConnectionLost(f"connection lost: {error.strerror or error}") from error
        if size == 0:
            raise ConnectionLost("connection closed by the peer")
        self.bytes_received += size
        return size

    def send(self, parts: list[bytes | memoryview], deadline: float) -> None:
        """Write all parts in order by the deadline; raises `ConnectionLost`, `DeadlinePassed`."""
        for start in range(0, len(parts), _MAX_GATHERED):
            self._send(parts[start : start + _MAX_GATHERED], deadline)

    def _send(self, parts: list[bytes | memoryview], deadline: float) -> None:
        while parts:
            try:
                sent = self._socket.sendmsg(parts)
            except BlockingIOError:
                self._wait(self._writable, deadline)
                continue
            except OSError as error:
                raise ConnectionLost(f"connection lost: {error.strerror or error}") from error
            self.bytes_sent += sent
            parts = _unsent(parts, sent)

    def _wait(self, poll: select.poll, deadline: float) -> None:
        ready = poll.poll(milliseconds(deadline))
        if not ready:
            doing = "nothing taken by the peer" if poll is self._writable else "nothing received"
            raise DeadlinePassed(f"{doing} within the time limit")
        if all(descriptor == self._stop_descriptor for descriptor, _ in ready):
            raise NodeStopping(NODE_STOPS)

    def wait_readable(self, wake_descriptor: int, deadline: float, *, ignore_peer: bool = False) -> None:
        """Wait until the peer has sent something, the wake descriptor is readable, or the deadline is due."""
        poll = select.poll()
        poll.register(wake_descriptor, select.POLLIN)
        if not ignore_peer:
            poll.register(self._socket, select.POLLIN)
        poll.poll(milliseconds(deadline))

    def finish(self, seconds: float) -> None:
        """Close after what was sent: tell the peer that no more comes, and wait for it to close first.

        Closing at once with unread bytes in the receive buffer would make the kernel reset the connection,
        and an A-ABORT or A-ASSOCIATE-RJ just sent could be lost with it.
        """
        try:
            self._socket.shutdown(socket.SHUT_WR)
            deadline, scrap = time.monotonic() + seconds, memoryview(bytearray(65536))
            while time.monotonic() < deadline:
                self.receive_into(scrap, deadline)
        except (OSError, ConnectionLost, DeadlinePassed):
            pass
        finally:
            self.close()

    def cut(self) -> None:
        """End the connection from another thread: whoever waits on it finds it lost."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Close the connection; calling again does nothing."""
        self._socket.close()


def milliseconds(deadline: float) -> int:
    """Return how long to `poll` until the monotonic deadline."""
    return max(0, int((deadline - time.monotonic()) * 1000) + 1)


def _unsent(parts: list[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    for at, part in enumerate(parts):
        if sent < len(part):
            return [memoryview(part)[sent:], *parts[at + 1 :]]
        sent -= len(part)
    return []
