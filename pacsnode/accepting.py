"""The socket that is listened on: how it is made, and whose turn it is to accept, among several processes.

The kernel wakes all of them, and the quickest takes the connection, which is often the same one again. So each
writes into shared memory how many connections it has, and one that has more than another leaves the socket alone
for `YIELD_SECONDS`; if nobody has taken the connection then, it does so itself. A process that hangs costs others
that wait, and no connection is lost. The numbers are a hint: they are read without a lock.
"""

import mmap
import os
import socket
import struct
import threading

YIELD_SECONDS = 0.005
_BACKLOG = 1024

_COUNT = struct.Struct("=I")


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; on "::" for IPv4 as well, where the system can."""
    is_ipv6 = ":" in host
    return socket.create_server(
        (host, port),
        family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        backlog=_BACKLOG,
        dualstack_ipv6=is_ipv6 and socket.has_dualstack_ipv6(),
    )


def shown(host: str, port: int) -> str:
    """Return an address as people write it: an IPv6 one in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shared_counts(processes: int) -> int:
    """Return the descriptor of new shared memory for the counts of so many processes; the caller closes it."""
    descriptor = os.memfd_create("pacsnode-turns", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, processes * _COUNT.size)
    return descriptor


class Turns:
    """The count of one process among those of others; without a descriptor it is alone. Any thread may call."""

    def __init__(self, descriptor: int | None = None, number: int = 0) -> None:
        """`number` is the place of this process in the memory, from 0 on; the descriptor may be closed afterwards."""
        self._lock = threading.Lock()
        self._number = number
        self._count = 0
        self._counts = None if descriptor is None else mmap.mmap(descriptor, 0)
        self._others: list[int] = []
        if self._counts is not None:
            places = range(len(self._counts) // _COUNT.size)
            self._others = [place * _COUNT.size for place in places if place != number]
        self._publish()

    def is_ours(self) -> bool:
        """Return whether no other process has fewer connections."""
        counts = self._counts
        return counts is None or all(
            _COUNT.unpack_from(counts, other)[0] >= self._count for other in self._others
        )

    def taken(self) -> None:
        """Count a connection."""
        with self._lock:
            self._count += 1
            self._publish()

    def left(self) -> None:
        """Count a connection no more."""
        with self._lock:
            self._count -= 1
            self._publish()

    def _publish(self) -> None:
        if self._counts is not None:
            _COUNT.pack_into(self._counts, self._number * _COUNT.size, self._count)
