"""The spool: instances that are durable here and not yet in the storage.

`<spool>/ready/` holds one file per instance, complete and synced before it has a name. The name tells when it came
and what it must contain, `<token>-<length>-<crc32c>.dcm`, so that a torn file is known without the index. A token
is 63 bits: milliseconds since 1970, a counter, and the number of the worker that took it. It ascends within a
process even when the clock is set back, and two workers never take the same.

An entry appears before it is decided whether it stays: it is linked, synced, indexed, and dropped again if it is a
duplicate or the index fails. Until then its process holds a lock (flock) on the file, which it takes before the
file has a name and which the kernel takes from a process that dies. So others know for certain whose entries nobody
decides about any more, whatever has happened to whom.

The spool is also the queue to the storage (`jobs.filing`); what cannot be filed because it is damaged goes to
`<spool>/damaged/` and stays there for a person to look at.
"""

import fcntl
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from pacsnode.durable import DurableFolder, write_all
from pacsnode.errors import ObjectExists, ObjectNotFound, OutOfResources
from pacsnode.storage.files import FileReadable

_COUNTER_BITS = 21
_WORKER_BITS = 6
MAX_WORKERS = 1 << _WORKER_BITS
_FLUSH_BYTES = 128 << 10
_ROOM_SECONDS = 0.05
_COUNT_SECONDS, _COUNT_SHARE = 0.5, 20.0
_NAME = re.compile(r"([0-7][0-9a-f]{15})-(0|[1-9][0-9]*)-([0-9a-f]{8})\.dcm", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the spool. `length` in bytes, `crc32c` of all of them."""

    token: int
    length: int
    crc32c: int

    @property
    def name(self) -> str:
        """The file's name below `ready/`."""
        return f"{self.token:016x}-{self.length}-{self.crc32c:08x}.dcm"

    @property
    def received_at_ms(self) -> int:
        """When it was complete, in milliseconds since 1970."""
        return self.token >> _COUNTER_BITS

    @classmethod
    def parse(cls, name: str) -> "Entry | None":
        """Return the entry of a file name, None if the name is not the spool's."""
        match = _NAME.fullmatch(name)
        return cls(int(match[1], 16), int(match[2]), int(match[3], 16)) if match else None


@dataclass(frozen=True, slots=True)
class SpoolUse:
    """How much is in the spool, and how much more its disk can take before `spool.min_free` is reached."""

    waiting: int
    bytes: int
    oldest_age_seconds: float | None
    damaged: int
    free_bytes: int
    min_free_bytes: int
    max_bytes: int  # 0 is no limit


class Incoming:
    """A file being received: no name, nothing durable, gone if the process dies. Not thread-safe."""

    def __init__(self, spool: "Spool", descriptor: int) -> None:
        self._spool = spool
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.descriptor = descriptor
        self.length = 0
        self.crc32c = 0

    def write(self, chunk: bytes) -> None:
        """Append bytes; raises `OutOfResources` when the disk is full or fails."""
        self.crc32c = google_crc32c.extend(self.crc32c, chunk)
        self.length += len(chunk)
        self._pending.append(chunk)
        self._pending_bytes += len(chunk)
        if self._pending_bytes >= _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        chunks, self._pending, self._pending_bytes = self._pending, [], 0
        try:
            write_all(self.descriptor, chunks)
        except OSError as error:
            self._spool.suspect(error)
            self.close()  # bytes are missing in it: it can never be published
            raise OutOfResources(f"the spool cannot be written: {error.strerror}") from error

    def read(self, length: int, offset: int) -> bytes:
        """Return bytes that were written before; raises `OutOfResources`."""
        if self._pending:
            self._flush()
        try:
            return os.pread(self.descriptor, length, offset)
        except OSError as error:
            raise OutOfResources(f"the spool cannot be read: {error.strerror}") from error

    def publish(self) -> Entry:
        """Make the file durable under its entry's name; raises `OutOfResources`. The descriptor stays open."""
        if self._pending:
            self._flush()
        return self._spool.publish(self)

    def close(self) -> None:
        """Let go of the file; without `publish` before, nothing of it remains."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Spool:
    """The spool's folders. Any thread may call any method."""

    def __init__(
        self,
        path: Path,
        *,
        min_free_bytes: int,
        now_ms: Callable[[], int],
        max_bytes: int = 0,
        worker: int = 0,
        failed: Callable[[str, str], None] = lambda _place, _reason: None,
    ) -> None:
        """Open or create the spool; raises `PermanentError` if its file system cannot serve.

        Of the processes that publish at the same time each has a `worker` number of its own. `failed` hears of
        folder and reason when the disk begins not to be trusted; it must not block.
        """
        assert 0 <= worker < MAX_WORKERS
        self._ready = DurableFolder(path / "ready")
        self._damaged = path / "damaged"
        self._min_free_bytes = min_free_bytes
        self._max_bytes = max_bytes
        self._is_full = False
        self._counting = threading.Lock()
        self._counted_until = 0.0  # monotonic: until then it is known whether it is full
        self._now_ms = now_ms
        self._failed = failed
        self._worker = worker
        self._last_token = worker
        # The clock may have been set back since these were given; a token names one instance in the index.
        self._taken = frozenset(entry.token for entry in self.entries())
        self._lock = threading.Lock()
        self._room_until = 0.0  # monotonic: until then there is room enough
        self._is_suspect = False  # a write that should be durable failed: a probe must succeed first

    def begin(self) -> Incoming:
        """Start to receive a file; raises `OutOfResources` when space is short or the disk is suspect."""
        try:
            if self._is_short_of_space():
                raise OutOfResources(f"free space in {self._ready.path} is under spool.min_free")
            if self._max_bytes and self._holds_too_much():
                raise OutOfResources(f"{self._ready.path} holds spool.max_bytes that wait for the storage")
            if self._is_suspect:
                self._probe()
            descriptor = self._ready.unnamed_file()
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # never waits: nobody else has it open
            return Incoming(self, descriptor)
        except OSError as error:
            raise OutOfResources(f"the spool cannot be written: {error.strerror}") from error

    def _is_short_of_space(self) -> bool:
        """Look at the disk at most every 50 ms while there is room, and each time while there is not."""
        now = time.monotonic()
        if now >= self._room_until:
            if self._ready.free_bytes() < self._min_free_bytes:
                return True
            self._room_until = now + _ROOM_SECONDS
        return False

    def _holds_too_much(self) -> bool:
        """Add up what waits, at most twice a second and for no more than a twentieth of the time, one at a time."""
        started = time.monotonic()
        if started >= self._counted_until and self._counting.acquire(blocking=False):
            try:
                self._is_full = sum(map(_length_in, self._ready.names())) >= self._max_bytes
                ended = time.monotonic()
                self._counted_until = ended + max(_COUNT_SECONDS, _COUNT_SHARE * (ended - started))
            finally:
                self._counting.release()
        return self._is_full

    def suspect(self, error: Exception) -> None:
        """Take nothing more until a probe shows that the disk keeps what is written."""
        if not self._is_suspect:
            self._failed(str(self._ready.path), str(error))
        self._is_suspect = True

    def _probe(self) -> None:
        descriptor = self._ready.unnamed_file()
        try:
            os.write(descriptor, b"probe")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._is_suspect = False

    def publish(self, incoming: Incoming) -> Entry:
        """Make a complete file durable and give it a token; raises `OutOfResources`."""
        while True:
            entry = Entry(self._next_token(), incoming.length, incoming.crc32c)
            try:
                self._ready.publish(incoming.descriptor, entry.name)
            except ObjectExists:
                continue  # another process took this very token
            except OutOfResources as error:
                self.suspect(error.__cause__ if isinstance(error.__cause__, OSError) else error)
                raise
            return entry

    def _next_token(self) -> int:
        with self._lock:
            now = self._now_ms() << _COUNTER_BITS | self._worker
            self._last_token = max(self._last_token + MAX_WORKERS, now)
            while self._last_token in self._taken:
                self._last_token += MAX_WORKERS
            return self._last_token

    def open(self, entry: Entry) -> FileReadable:
        """Open an entry; raises `ObjectNotFound`."""
        try:
            return FileReadable(self._ready.open(entry.name))
        except FileNotFoundError as error:
            raise ObjectNotFound(f"spool entry {entry.name} is not there") from error
        except OSError as error:
            raise OutOfResources(f"spool entry {entry.name} could not be opened: {error.strerror}") from error

    def is_undecided(self, readable: FileReadable) -> bool:
        """Return whether a process that lives has not decided yet whether an entry stays; raises `ObjectNotFound`.

        `ObjectNotFound` means that it was decided against the entry after this one was opened.
        """
        try:
            fcntl.flock(readable.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(readable.descriptor, fcntl.LOCK_UN)
        if os.fstat(readable.descriptor).st_nlink == 0:
            raise ObjectNotFound("a spool entry was dropped by the process that made it")
        return False

    def sync(self, entry: Entry, readable: FileReadable) -> None:
        """Make an entry durable that a process may have linked and not synced; raises `OutOfResources`."""
        self._ready.sync(readable.descriptor, entry.name)

    def remove(self, entry: Entry) -> None:
        """Remove an entry if it is there: only when its bytes are durable elsewhere, or were never acknowledged."""
        self._ready.remove(entry.name)

    def entries(self) -> list[Entry]:
        """Return all entries in the order of their tokens; files with other names are not the spool's."""
        entries = [entry for entry in map(Entry.parse, self._ready.names()) if entry is not None]
        return sorted(entries, key=lambda entry: entry.token)

    def use(self) -> SpoolUse:
        """Return how much is in it; raises `OSError`."""
        entries = self.entries()
        oldest_ms = min((entry.received_at_ms for entry in entries), default=None)
        return SpoolUse(
            waiting=len(entries),
            bytes=sum(entry.length for entry in entries),
            oldest_age_seconds=None if oldest_ms is None else max(0, self._now_ms() - oldest_ms) / 1000,
            damaged=len(os.listdir(self._damaged)) if self._damaged.is_dir() else 0,
            free_bytes=self._ready.free_bytes(),
            min_free_bytes=self._min_free_bytes,
            max_bytes=self._max_bytes,
        )

    def set_aside(self, entry: Entry) -> Path:
        """Move a damaged entry to `damaged/` and return where it lies now."""
        self._damaged.mkdir(mode=0o700, exist_ok=True)
        target = self._damaged / entry.name
        os.rename(self._ready.path / entry.name, target)
        return target

    def close(self) -> None:
        """Let go of the folders."""
        self._ready.close()


def _length_in(name: str) -> int:
    """Return the length that a name of the spool tells, 0 of another."""
    parts = name.split("-")
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else 0
