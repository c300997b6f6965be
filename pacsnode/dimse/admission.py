"""Who may take a place: limits per address, per AE title and in all, over all workers (RELIABILITY A7).

A place is taken when an association is accepted and given back when it ends; one caller's limit never touches
another's. The places are slots in a shared memory that all processes of a node map: what is counted is what stands in
them and nothing else, so that no counter can go wrong when a process dies. `forget_process` frees what a dead one
held.

**Layout.** A header with a random key, the number of slots that are looked at, and the processes' ids by number; then
three columns of `SLOTS` entries: the owner (the number of a process, one byte, 0 for a free slot), and eight bytes each
that stand for the address and for the AE title. Those are hashes with the random key: nobody can choose two that
collide, so counting is a search for eight bytes in a column, at the speed of C. The lowest free slot is taken, and
only the slots up to the last one that is taken are looked at.

**A process may die between any two writes.** Taking writes the owner before the marks and giving back clears it after
them, so that a slot with anything in it has an owner whose death is noticed; the number of slots that are looked at
grows before the owner is written and shrinks after it was cleared.

**The lock** is a POSIX record lock, which the kernel lets go of when its holder dies, and within a process a thread
lock, since record locks know no threads. A record lock also goes when the process closes any descriptor of the file:
hence the duplicate that is made here is kept as long as places are.

Standard library only: the supervisor, which imports little, uses it too.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SLOTS = 10_000  # what dicom.max_associations may be at most
MAX_PROCESSES = 255

_KEY_BYTES = 16
_MARK_BYTES = 8
_PID = struct.Struct("<I")
_USED = struct.Struct("<I")
_USED_AT = _KEY_BYTES
_PIDS_AT = _USED_AT + _USED.size
_OWNERS_AT = _PIDS_AT + _PID.size * (MAX_PROCESSES + 1)
_ADDRESSES_AT = _OWNERS_AT + SLOTS
_TITLES_AT = _ADDRESSES_AT + SLOTS * _MARK_BYTES
_LENGTH = _TITLES_AT + SLOTS * _MARK_BYTES
_NOBODY = bytes(_MARK_BYTES)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many at the same time; 0 is no limit."""

    associations: int
    per_ip: int = 0
    per_ae: int = 0
    pre_association: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A place that was taken, to be given back."""

    slot: int


@dataclass(frozen=True, slots=True)
class Reached:
    """No place was taken: the limit of this configuration key is reached."""

    key: str


def shared_memory() -> int:
    """Make an empty memory of places and return its descriptor, not inherited unless that is asked for."""
    descriptor = os.memfd_create("pacsnode-admission", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _LENGTH)
    os.pwrite(descriptor, os.urandom(_KEY_BYTES), 0)
    return descriptor


class Admission:
    """Counts associations. Any thread of any process may call any method."""

    def __init__(self, descriptor: int | None = None) -> None:
        """Use the memory that `shared_memory` made, in this process or another; without one, make its own.

        The descriptor stays the caller's.
        """
        self._descriptor = shared_memory() if descriptor is None else os.dup(descriptor)
        self._memory = mmap.mmap(self._descriptor, _LENGTH)
        self._key = self._memory[:_KEY_BYTES]
        self._lock = threading.Lock()
        self._number = 0
        self._pid = 0

    def close(self) -> None:
        """Let go of the memory; what this process has taken stays taken in the memory of others."""
        self._memory.close()
        os.close(self._descriptor)

    def take(
        self,
        ip: str,
        calling_ae_title: str,
        limits: Limits,
        *,
        max_of_peer: int = 0,
        peer_key: str = "",
    ) -> Place | Reached:
        """Take a place for an association.

        `max_of_peer` is a limit for this AE title that stands in for `limits.per_ae`, by the key `peer_key`.
        """
        address, title = self._mark(ip), self._mark(calling_ae_title)
        per_ae, per_ae_key = (max_of_peer, peer_key) if max_of_peer else (limits.per_ae, "limits.per_ae")
        with self._locked():
            owners = self._owners()
            if len(owners) - owners.count(0) >= min(limits.associations, SLOTS):
                return Reached("dicom.max_associations")
            if limits.per_ip and self._count(_ADDRESSES_AT, address, len(owners)) >= limits.per_ip:
                return Reached("limits.per_ip")
            if per_ae and self._count(_TITLES_AT, title, len(owners)) >= per_ae:
                return Reached(per_ae_key)
            slot = owners.find(0)
            if slot < 0:
                slot = len(owners)
                _USED.pack_into(self._memory, _USED_AT, slot + 1)
            self._memory[_OWNERS_AT + slot] = self._own_number()
            self._write_marks(slot, address, title)
        return Place(slot)

    def give_back(self, place: Place) -> None:
        """Give back what `take` took."""
        with self._locked():
            self._free(place.slot)

    def forget_process(self, pid: int) -> bool:
        """Give back all that a dead process has taken, nothing for one that took nothing. Never waits.

        Returns false if another process has the places locked, which may be one that hangs: try again.
        """
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                number = self._number_of(pid)
                if number:
                    self._forget(number)
        except BlockingIOError:
            return False
        return True

    def taken(self) -> int:
        """Return how many places are taken, by all processes."""
        with self._locked():
            owners = self._owners()
            return len(owners) - owners.count(0)

    @contextmanager
    def _locked(self, how: int = fcntl.LOCK_EX) -> Iterator[None]:
        with self._lock:
            fcntl.lockf(self._descriptor, how)
            try:
                yield
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def _mark(self, text: str) -> bytes:
        """Return the eight bytes that stand for a text."""
        encoded = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(encoded, digest_size=_MARK_BYTES, key=self._key).digest()

    def _owners(self) -> bytes:
        """Return the owners up to the last slot that is taken."""
        (used,) = _USED.unpack_from(self._memory, _USED_AT)
        return self._memory[_OWNERS_AT : _OWNERS_AT + used]

    def _count(self, column_at: int, mark: bytes, slots: int) -> int:
        return self._memory[column_at : column_at + slots * _MARK_BYTES].count(mark)

    def _write_marks(self, slot: int, address: bytes, title: bytes) -> None:
        for column_at, mark in ((_ADDRESSES_AT, address), (_TITLES_AT, title)):
            start = column_at + slot * _MARK_BYTES
            self._memory[start : start + _MARK_BYTES] = mark

    def _free(self, slot: int) -> None:
        self._write_marks(slot, _NOBODY, _NOBODY)
        self._memory[_OWNERS_AT + slot] = 0
        owners = self._owners()
        if slot == len(owners) - 1:
            _USED.pack_into(self._memory, _USED_AT, len(owners.rstrip(b"\0")))

    # Processes

    def _own_number(self) -> int:
        """Return the number of this process, which gets one with its first place."""
        pid = os.getpid()
        if self._pid != pid or self._pid_of(self._number) != pid:
            self._number, self._pid = self._number_of(pid) or self._new_number(pid), pid
        return self._number

    def _pid_of(self, number: int) -> int:
        (pid,) = _PID.unpack_from(self._memory, _PIDS_AT + _PID.size * number)
        return int(pid)

    def _number_of(self, pid: int) -> int:
        """Return the number of a process, 0 if it has none."""
        return next((one for one in range(1, MAX_PROCESSES + 1) if self._pid_of(one) == pid), 0)

    def _new_number(self, pid: int) -> int:
        """Give a process the first number that is nobody's, or that of a process that died unnoticed."""
        number = self._number_of(0)
        if not number:
            number = next(one for one in range(1, MAX_PROCESSES + 1) if not _is_alive(self._pid_of(one)))
            self._forget(number)
        _PID.pack_into(self._memory, _PIDS_AT + _PID.size * number, pid)
        return number

    def _forget(self, number: int) -> None:
        for slot, owner in enumerate(self._owners()):
            if owner == number:
                self._free(slot)
        _PID.pack_into(self._memory, _PIDS_AT + _PID.size * number, 0)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
