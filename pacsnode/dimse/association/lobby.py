"""The lobby: where connections wait until their whole A-ASSOCIATE-RQ is there.

One thread and one selector hold all connections that are no associations yet, so that a thousand silent ones cost a
thousand descriptors and nothing else, and a legitimate one beside them is served at once. A connection leaves with
its request, or is closed: at its deadline, at the first header that cannot begin a request, or, when the lobby is
full, as the one that has been silent for longest. The listening socket is never left alone: when descriptors run out
the lobby gives up its oldest guest to be able to accept, instead of spinning on a socket that stays readable. Only
when another process that accepts on it has fewer connections, the socket is left to that one for a moment.

Nothing here decodes a request: six header bytes decide about its length (PS3.8 9.3.1), the rest is counted.
"""

import errno
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from pacsnode.accepting import YIELD_SECONDS, Turns, shown
from pacsnode.access.addresses import plain
from pacsnode.dimse.association.endings import AssociationOver, ConnectionLost, PeerAborted
from pacsnode.dimse.association.pdu import HEADER, abort_of, check_length
from pacsnode.dimse.association.states import Action, State, on_pdu, unexpected
from pacsnode.observe import NODE_STOPS

log = logging.getLogger(__name__)

_ACCEPTS_A_ROUND = 64
_SCRAP_BYTES = 64 << 10
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a connection comes from."""

    host: str
    port: int

    def __str__(self) -> str:
        return shown(self.host, self.port)


class _Guest:
    """A connection that waits, and what it has sent."""

    __slots__ = ("address", "buffer", "connection", "deadline", "needed")

    def __init__(self, connection: socket.socket, address: Address, deadline: float) -> None:
        self.connection = connection
        self.address = address
        self.deadline = deadline
        self.buffer = bytearray()
        self.needed = HEADER.size

    def read(self) -> bool:
        """Take what has arrived and nothing beyond the request; true when the request is whole.

        Raises `AssociationOver` when it never will be.
        """
        while len(self.buffer) < self.needed:
            try:
                piece = self.connection.recv(self.needed - len(self.buffer))
            except BlockingIOError:
                return False
            except OSError as error:
                raise ConnectionLost(f"connection lost: {error.strerror or error}") from error
            if not piece:
                raise ConnectionLost("connection closed before association")
            self.buffer += piece
            if self.needed == HEADER.size == len(self.buffer):
                self.needed += self._body_length()
        return True

    def _body_length(self) -> int:
        pdu_type, length = HEADER.unpack(self.buffer)
        check_length(pdu_type, length, max_pdu_bytes=length)
        action, _ = on_pdu(State.AWAITING_REQUEST, pdu_type)
        if action is Action.AA_2:
            raise PeerAborted("aborted before association")
        if action is not Action.AE_6:
            raise unexpected(pdu_type, "before association")
        return int(length)


class Lobby:
    """Accepts on a listening socket and hands over each connection with its request. `start` once, `stop` once.

    `enter(connection, address, request)`, `leave(address, reason)` and `probed(address)` are called by the lobby's
    thread and must not block: the first owns the connection from then on, the second hears why a connection never
    became an association, the third of one that its peer closed before it had sent a byte.
    """

    def __init__(
        self,
        listening: socket.socket,
        *,
        enter: Callable[[socket.socket, Address, bytes], None],
        leave: Callable[[Address, str], None],
        probed: Callable[[Address], None],
        capacity: int,
        seconds: float,
        turns: Turns | None = None,
    ) -> None:
        """Hold at most `capacity` connections, each for at most `seconds`.

        `turns` hears of each connection that is taken and closed here; those that enter are left by their owner.
        """
        listening.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self._listening = listening
        self._enter = enter
        self._leave = leave
        self._probed = probed
        self._capacity = capacity
        self._seconds = seconds
        self._guests: dict[int, _Guest] = {}  # by descriptor, in the order of arrival and so of deadlines
        self._selector = selectors.EpollSelector()
        self._turns = turns or Turns()
        self._listens_again_at: float | None = None  # while it is another process's turn
        self._wake_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_stopping = False
        self._moved = True
        self._thread = threading.Thread(target=self._run, name="lobby", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._wake_descriptor, selectors.EVENT_READ)
        self._thread.start()

    def has_moved(self) -> bool:
        """Return whether the thread has come round since this was asked last, and wake it so that it does."""
        moved, self._moved = self._moved, False
        os.eventfd_write(self._wake_descriptor, 1)
        return moved

    def adopt(self, *, capacity: int, seconds: float) -> None:
        """Hold at most so many connections, each for so long, from now on; those that wait keep their deadline."""
        self._capacity, self._seconds = capacity, seconds

    def stop(self) -> None:
        """Stop accepting and close what waits."""
        self._is_stopping = True
        os.eventfd_write(self._wake_descriptor, 1)
        self._thread.join()
        for guest in list(self._guests.values()):
            self._close(guest, NODE_STOPS)
        self._selector.close()
        self._listening.close()
        os.close(self._wake_descriptor)

    def _run(self) -> None:
        while not self._is_stopping:
            for key, _ in self._selector.select(self._next_deadline()):
                if key.fd == self._listening.fileno():
                    self._accept()
                elif key.fd == self._wake_descriptor:
                    os.eventfd_read(self._wake_descriptor)
                    self._moved = True
                elif (guest := self._guests.get(key.fd)) is not None:
                    self._attend(guest)
            self._turn_out_late_ones()
            self._listen_again()

    def _next_deadline(self) -> float | None:
        """Return in how many seconds the oldest guest is due; None without guests: an idle lobby never wakes."""
        deadlines = [guest.deadline for guest in islice(self._guests.values(), 1)]
        if self._listens_again_at is not None:
            deadlines.append(self._listens_again_at)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _leave_to_others(self) -> None:
        self._selector.unregister(self._listening)
        self._listens_again_at = time.monotonic() + YIELD_SECONDS

    def _listen_again(self) -> None:
        if self._listens_again_at is not None and self._listens_again_at <= time.monotonic():
            self._listens_again_at = None
            self._selector.register(self._listening, selectors.EVENT_READ)
            self._accept(is_ours=True)

    def _accept(self, *, is_ours: bool = False) -> None:
        """Take in what has arrived, a bounded number a round so that the guests are attended too.

        `is_ours`: the first one was left to the others, and none of them took it.
        """
        for number in range(_ACCEPTS_A_ROUND):
            if not self._turns.is_ours() and not (is_ours and number == 0):
                self._leave_to_others()
                return
            try:
                connection, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS and self._guests:
                    self._turn_out_oldest("no descriptors left")
                    continue
                log.warning("a connection could not be accepted: %s", error.strerror)
                return
            if len(self._guests) >= self._capacity:
                self._turn_out_oldest("limits.pre_association reached")
            self._turns.taken()
            connection.setblocking(False)  # noqa: FBT003
            caller = Address(plain(address[0]), address[1])
            guest = _Guest(connection, caller, time.monotonic() + self._seconds)
            self._guests[connection.fileno()] = guest
            self._selector.register(connection, selectors.EVENT_READ)
            self._attend(guest)  # its request is often there already

    def _attend(self, guest: _Guest) -> None:
        try:
            is_whole = guest.read()
        except AssociationOver as over:
            if guest.buffer:
                self._close(guest, str(over), over)
            else:
                self._forget(guest)
                self._probed(guest.address)
                guest.connection.close()
                self._turns.left()
            return
        if is_whole:
            self._forget(guest)
            self._enter(guest.connection, guest.address, bytes(guest.buffer[HEADER.size :]))

    def _turn_out_late_ones(self) -> None:
        now = time.monotonic()
        while self._guests and (guest := next(iter(self._guests.values()))).deadline <= now:
            self._close(guest, "no association request within the time limit")

    def _turn_out_oldest(self, reason: str) -> None:
        self._close(next(iter(self._guests.values())), reason)

    def _forget(self, guest: _Guest) -> None:
        self._selector.unregister(guest.connection)
        del self._guests[guest.connection.fileno()]

    def _close(self, guest: _Guest, reason: str, over: AssociationOver | None = None) -> None:
        """Close a guest, with the A-ABORT that a protocol violation asks for; it is not waited for.

        What it has sent is read first: closed with unread bytes, the kernel would reset the connection, and the
        A-ABORT could be lost with it.
        """
        self._forget(guest)
        self._leave(guest.address, reason)  # before the peer can see it, so that the log is never behind
        if over is not None and (pdu := abort_of(over)) is not None:
            try:
                guest.connection.send(pdu)
                guest.connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it is gone, or takes nothing: it is closed all the same
        if over is not None:
            with suppress(OSError):
                guest.connection.recv(_SCRAP_BYTES)
        guest.connection.close()
        self._turns.left()
