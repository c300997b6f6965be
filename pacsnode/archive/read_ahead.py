"""Instances that are opened, checked and read before their turn to be sent, in bounded memory.

A thread works ahead of those that send: while one instance is on its way and its answer is awaited, the next ones are
opened and read, and their length and CRC32C are compared with what was received, so that no damaged byte is ever given
out. A store that is slow for a moment does so behind what is read already, and whoever waits for an instance waits
with a time limit and can tell a peer that it is still there.

**Memory.** What is read and not sent yet stays below the limit of the retrieve, however many instances it has and
however large they are: of a large one the first `HEAD_BYTES` are held, and the rest is read again while it is sent.
Reading goes on once half of the limit is free, so that the threads do not take turns for each small instance.

**Order.** Instances are given out in the order of the plan; one that is given back comes first.

**Conversion.** An instance that whoever gets it takes in another transfer syntax only is converted here, so that this
too happens while others are sent. What it is wanted in may not be known yet when it is read; then the one who sends it
has it `converted`.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from itertools import compress
from typing import TypeVar

import google_crc32c

from pacsnode.archive.objects import check_crc32c, check_length
from pacsnode.archive.prefetch import Prefetch
from pacsnode.errors import CannotConvert, DamagedObject, PacsNodeError
from pacsnode.index.base import Located
from pacsnode.storage.base import Readable
from pacsnode.storage.reading import bytes_of, chunks_of, crc32c_of

HEAD_BYTES = 1 << 20
_Result = TypeVar("_Result")

NOT_WANTED = "its transfer syntax or SOP class was not accepted"
_PIECE_BYTES = 256 << 10  # of what is only checked
_LEAST_BYTES = 1 << 10  # what an instance counts at least
_JOIN_SECONDS = 5.0


# Opens an instance's data set in another transfer syntax; the callable tells whether it is still wanted.
Converter = Callable[[Readable, int, str, str, Callable[[], bool]], Readable]


def cannot_convert(_: Readable, __: int, stored: str, wanted: str, ___: Callable[[], bool]) -> Readable:
    """Convert nothing: a `Converter` for who sends what is stored as it is."""
    raise CannotConvert(f"{stored} is not converted to {wanted}")


class Prepared:
    """One instance that is ready to be sent, or the reason (`refusal`) why it cannot be.

    Its data set is in `transfer_syntax`; it is `head`, and what follows up to the end of `readable`, if that is there,
    from `offset` on in it.
    """

    __slots__ = (
        "cost",
        "head",
        "is_unconvertible",
        "located",
        "losses",
        "number",
        "offset",
        "readable",
        "refusal",
        "transfer_syntax",
    )

    def __init__(self, number: int, located: Located) -> None:
        self.number = number
        self.located = located
        self.head = memoryview(b"")
        self.readable: Readable | None = None
        self.offset = located.file_length - located.data_set_length
        self.transfer_syntax = located.transfer_syntax_uid
        self.refusal = ""
        self.is_unconvertible = False  # then the refusal names nobody, and may be told to a peer
        self.losses = 0  # associations that have ended while it was sent
        self.cost = _LEAST_BYTES

    @property
    def is_converted(self) -> bool:
        """Whether it is in another transfer syntax than it is stored in."""
        return self.transfer_syntax != self.located.transfer_syntax_uid

    @property
    def data_set_length(self) -> int:
        """Length of the data set in bytes."""
        return len(self.head) if self.readable is None else self.readable.length - self.offset


class ReadAhead:
    """Gives out the instances of a plan. Any thread may call any method; `close` once, when nobody takes any more."""

    def __init__(
        self,
        plan: Sequence[Located],
        open_one: Callable[[Located], Readable],
        *,
        max_bytes: int,
        wanted_in: Callable[[Located], str | None] = lambda located: located.transfer_syntax_uid,
        convert: Converter = cannot_convert,
        distrust: Callable[[Located], bool] = lambda _: False,
        prefetch: Prefetch | None = None,
    ) -> None:
        """Nothing is opened before the first one is taken.

        `distrust` hears of one that is damaged, and tells whether to open it once more; `prefetch` of how far it is.

        `wanted_in` tells in which transfer syntax an instance is to be sent; one that is wanted in none is refused
        unopened.
        """
        self._plan = plan
        self._open = open_one
        self._max_bytes = max_bytes
        self._wanted_in = wanted_in
        self._convert = convert
        self._distrust = distrust
        self._prefetch = prefetch
        lock = threading.Lock()
        self._arrived, self._room = threading.Condition(lock), threading.Condition(lock)
        self._ready = deque[Prepared]()
        self._not_ended = bytearray(b"\1" * len(plan))
        self._held_bytes = 0
        self._is_waiting = self._is_closed = self._is_given_up = False
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

    def converted(self, prepared: Prepared, wanted: str) -> None:
        """Have one that was taken in another transfer syntax, or know why it cannot be. Takes its time."""
        if prepared.readable is not None:
            prepared.readable.close()
            prepared.readable = None
        before = prepared.cost
        if wanted == prepared.located.transfer_syntax_uid:
            again = Prepared(prepared.number, prepared.located)
            prepared.offset, prepared.transfer_syntax = again.offset, again.transfer_syntax
            self._read_stored(prepared)
        else:
            self._read_converted(prepared, wanted)
        with self._arrived:
            self._held_bytes += prepared.cost - before

    def release(self, prepared: Prepared) -> None:
        """Let go of an instance that was counted, whatever became of it."""
        if prepared.readable is not None:
            prepared.readable.close()
        with self._arrived:
            self._not_ended[prepared.number] = 0
            self._let_go(prepared)

    def give_up(self) -> None:
        """Break off a conversion that is under way: nothing more will be sent."""
        self._is_given_up = True

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
                if self._prefetch is not None:
                    self._prefetch.reached(number)
                self._add(self._prepared(number, located))
        except Exception as error:  # noqa: BLE001 - whoever takes the next instance raises it
            self._error = error
        finally:
            if self._prefetch is not None:
                self._prefetch.close()
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
        prepared, wanted = Prepared(number, located), self._wanted_in(located)
        if wanted is None:
            prepared.refusal = NOT_WANTED
        elif wanted != located.transfer_syntax_uid:
            self._read_converted(prepared, wanted)
        else:
            self._read_stored(prepared)
        return prepared

    def _read_stored(self, prepared: Prepared) -> None:
        try:
            self._twice_if_distrusted(prepared.located, lambda: self._read_opened(prepared))
        except PacsNodeError as error:
            prepared.refusal = str(error)

    def _twice_if_distrusted(self, located: Located, read: Callable[[], _Result]) -> _Result:
        """Read an instance, and once more if what was nearby of it was damaged."""
        try:
            return read()
        except DamagedObject:
            if not self._distrust(located):
                raise
            return read()

    def _read_opened(self, prepared: Prepared) -> None:
        readable = self._open(prepared.located)
        try:
            self._read(prepared, readable)
        finally:
            if prepared.readable is None:
                readable.close()

    def _read_converted(self, prepared: Prepared, wanted: str) -> None:
        """Read what an instance is converted to, which has no checksum: what it was made of was compared."""
        prepared.transfer_syntax = wanted
        try:
            located = prepared.located
            readable = self._twice_if_distrusted(located, lambda: self._opened_converted(located, wanted))
        except PacsNodeError as error:
            prepared.refusal = str(error)
            prepared.is_unconvertible = isinstance(error, CannotConvert)
            return
        held = bytes_of(readable, min(readable.length, HEAD_BYTES), 0)
        prepared.offset, prepared.head = 0, memoryview(held)
        prepared.cost = max(
            readable.length, _LEAST_BYTES
        )  # of the disk: no name shows how much is held there
        if readable.length > len(held):
            prepared.readable = readable
        else:
            readable.close()

    def _is_still_wanted(self) -> bool:
        return not (self._is_closed or self._is_given_up)

    def _opened_converted(self, located: Located, wanted: str) -> Readable:
        source = self._open(located)
        try:
            check_length(source, located)
            check_crc32c(crc32c_of(source), located)
            offset = located.file_length - located.data_set_length
            stored = located.transfer_syntax_uid
            return self._convert(source, offset, stored, wanted, self._is_still_wanted)
        finally:
            source.close()

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
