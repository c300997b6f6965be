"""Instances that are opened, checked and read before their turn to be sent, in bounded memory.

A thread works ahead of those that send: while one instance is on its way and its answer is awaited, the next ones are
opened and read, and their length and CRC32C are compared with what was received, so that no damaged byte is ever given
out. A store that is slow for a moment does so behind what is read already, and whoever waits for an instance waits
with a time limit and can tell a peer that it is still there.

**Memory.** What is read and not sent yet stays below the limit of the retrieve, however many instances it has and
however large they are: of a large one the first `HEAD_BYTES` are held, and the rest is read again while it is sent.
Reading goes on once half of the limit is free, so that the threads do not take turns for each small instance.

**Order.** Instances are given out in the order of the plan; one that is given back comes first.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from itertools import compress

import google_crc32c

from pacsnode.archive.objects import check_crc32c, check_length
from pacsnode.errors import PacsNodeError
from pacsnode.index.base import Located
from pacsnode.storage.base import Readable
from pacsnode.storage.reading import bytes_of, chunks_of

HEAD_BYTES = 1 << 20
NOT_WANTED = "its transfer syntax or SOP class was not accepted"
_PIECE_BYTES = 256 << 10  # of what is only checked
_LEAST_BYTES = 1 << 10  # what an instance counts at least
_JOIN_SECONDS = 5.0


class Prepared:
    """One instance that is ready to be sent, or the reason (`refusal`) why it cannot be.

    Its data set is `head`, and what follows up to the end of `readable`, if that is there, from `offset` on in it.
    """

    __slots__ = ("cost", "head", "located", "losses", "number", "offset", "readable", "refusal")

    def __init__(self, number: int, located: Located) -> None:
        self.number = number
        self.located = located
        self.head = memoryview(b"")
        self.readable: Readable | None = None
        self.offset = located.file_length - located.data_set_length
        self.refusal = ""
        self.losses = 0  # associations that have ended while it was sent
        self.cost = _LEAST_BYTES


class ReadAhead:
    """Gives out the instances of a plan. Any thread may call any method; `close` once, when nobody takes any more."""

    def __init__(
        self,
        plan: Sequence[Located],
        open_one: Callable[[Located], Readable],
        *,
        max_bytes: int,
        is_wanted: Callable[[Located], bool] = lambda _: True,
    ) -> None:
        """Nothing is opened before the first one is taken. Instances that are not wanted are refused unopened."""
        self._plan = plan
        self._open = open_one
        self._max_bytes = max_bytes
        self._is_wanted = is_wanted
        lock = threading.Lock()
        self._arrived, self._room = threading.Condition(lock), threading.Condition(lock)
        self._ready = deque[Prepared]()
        self._not_ended = bytearray(b"\1" * len(plan))
        self._held_bytes = 0
        self._is_waiting = self._is_closed = False
        self._is_complete = not plan
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing more to take, unless something is given back."""
        with self._arrived:
            return self._is_complete and not self._ready and self._error is None

    def take(self, wait_seconds: float) -> Prepared | None:
        """Return the next instance; None if it is not there within the time, or if there is none (`is_exhausted`).

        Raises `RuntimeError` if reading ahead ended with an unexpected error.
        """
        with self._arrived:
            if not self._ready and not self._is_complete:
                self._begin()
                self._arrived.wait_for(lambda: self._ready or self._is_complete, wait_seconds)
            if self._ready:
                return self._ready.popleft()
            if self._error is not None:
                raise RuntimeError("instances cannot be read ahead") from self._error
            return None

    def give_back(self, prepared: Prepared) -> None:
        """Have an instance taken again that was not sent, before all others."""
        with self._arrived:
            self._ready.appendleft(prepared)
            self._arrived.notify()

    def release(self, prepared: Prepared) -> None:
        """Let go of an instance that was counted, whatever became of it."""
        if prepared.readable is not None:
            prepared.readable.close()
        with self._arrived:
            self._not_ended[prepared.number] = 0
            self._let_go(prepared)

    def not_ended(self) -> list[Located]:
        """Return the instances that were not released, in the order of the plan."""
        return list(compress(self._plan, self._not_ended))

    def close(self) -> None:
        """Stop reading, and let go of what was read. A store that hangs is left to itself after five seconds."""
        with self._arrived:
            self._is_closed = True
            self._room.notify()
            thread = self._thread
        if thread is not None:
            thread.join(_JOIN_SECONDS)
        with self._arrived:
            left, self._ready = self._ready, deque()
        for prepared in left:
            if prepared.readable is not None:
                prepared.readable.close()

    def _let_go(self, prepared: Prepared) -> None:
        """Take back the memory of one; the lock is held."""
        self._held_bytes -= prepared.cost
        prepared.head = memoryview(b"")
        if self._is_waiting and self._held_bytes <= self._max_bytes // 2:
            self._room.notify()

    # In the thread that reads

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=copy_context().run, args=(self._run,), name="read-ahead", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        try:
            for number, located in enumerate(self._plan):
                if not self._has_room():
                    return
                self._add(self._prepared(number, located))
        except Exception as error:  # noqa: BLE001 - whoever takes the next instance raises it
            self._error = error
        finally:
            with self._arrived:
                self._is_complete = True
                self._arrived.notify_all()

    def _has_room(self) -> bool:
        """Wait for room; false once it is closed."""
        with self._room:
            if self._held_bytes >= self._max_bytes:
                self._is_waiting = True
                self._room.wait_for(lambda: self._is_closed or self._held_bytes <= self._max_bytes // 2)
                self._is_waiting = False
            return not self._is_closed

    def _add(self, prepared: Prepared) -> None:
        with self._arrived:
            self._held_bytes += prepared.cost
            self._is_complete = prepared.number == len(self._plan) - 1
            if not self._is_closed:
                self._ready.append(prepared)
                self._arrived.notify()
                return
        if prepared.readable is not None:
            prepared.readable.close()

    def _prepared(self, number: int, located: Located) -> Prepared:
        prepared = Prepared(number, located)
        if not self._is_wanted(located):
            prepared.refusal = NOT_WANTED
            return prepared
        try:
            readable = self._open(located)
        except PacsNodeError as error:
            prepared.refusal = str(error)
            return prepared
        try:
            self._read(prepared, readable)
        except PacsNodeError as error:
            prepared.refusal = str(error)
        finally:
            if prepared.readable is None:
                readable.close()
        return prepared

    def _read(self, prepared: Prepared, readable: Readable) -> None:
        """Read and check; afterwards `readable` belongs to `prepared` if there is more than its head."""
        located = prepared.located
        check_length(readable, located)
        held = bytes_of(readable, min(located.file_length, HEAD_BYTES), 0)
        crc32c = google_crc32c.value(held)
        for piece in chunks_of(readable, len(held), _PIECE_BYTES):
            if self._is_closed:
                break
            crc32c = google_crc32c.extend(crc32c, piece)
        check_crc32c(crc32c, located)
        prepared.cost = max(len(held), _LEAST_BYTES)
        prepared.head = memoryview(held)[prepared.offset :]
        prepared.readable = readable if located.file_length > len(held) else None
