"""C-GET's and C-MOVE's use case: what to send, the counts and how it ended (PS3.4 C.4.2, C.4.3)."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum

from pacsnode.archive.objects import Objects
from pacsnode.archive.precedence import Precedence
from pacsnode.archive.prefetch import Prefetch
from pacsnode.archive.read_ahead import Converter, ReadAhead, cannot_convert
from pacsnode.dicom.query import Query
from pacsnode.index.base import Index, Located
from pacsnode.storage.base import Readable

READ_AHEAD_BYTES = 4 << 20


class Ending(Enum):
    """How a retrieve ended, before it is a status."""

    SUCCESS = "success"
    WARNING = "warning"  # some sub-operations failed or warned, or all warned
    FAILURE = "failure"  # all failed
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Numbers:
    """The counts at one moment; they add up to the total."""

    remaining: int
    completed: int
    failed: int
    warned: int


@dataclass(slots=True)
class SubOperations:
    """The counts of a retrieve. Each sub-operation ends once, as completed, failed or warned.

    Several senders may count at the same time; `numbers` is what adds up while they do.
    """

    total: int
    completed: int = 0
    failed: int = 0
    warned: int = 0
    failed_uids: list[str] = field(default_factory=list)
    first_failure: str = ""
    first_comment: str = ""
    bytes_sent: int = 0
    converted: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def remaining(self) -> int:
        """How many have not ended."""
        return self.total - self.completed - self.failed - self.warned

    def numbers(self) -> Numbers:
        """Return all counts as they are now."""
        with self._lock:
            return Numbers(self.remaining, self.completed, self.failed, self.warned)

    def complete(self, data_set_bytes: int = 0, *, is_converted: bool = False) -> None:
        """Count one that succeeded."""
        with self._lock:
            self.completed += 1
            self.bytes_sent += data_set_bytes
            self.converted += is_converted

    def warn(self, data_set_bytes: int = 0, *, is_converted: bool = False) -> None:
        """Count one that succeeded with a warning; it is not in the failed list."""
        with self._lock:
            self.warned += 1
            self.bytes_sent += data_set_bytes
            self.converted += is_converted

    def fail(self, sop_instance_uid: str, reason: str, data_set_bytes: int = 0, *, comment: str = "") -> None:
        """Count one that failed, with its UID for the Failed SOP Instance UID List (0008,0058).

        `reason` is for the log, `comment` for the peer, who must not read everything.
        """
        with self._lock:
            self.first_comment = self.first_comment or comment
            self.failed += 1
            self.bytes_sent += data_set_bytes
            self.failed_uids.append(sop_instance_uid)
            said = reason if sop_instance_uid in reason else f"instance {sop_instance_uid}: {reason}"
            self.first_failure = self.first_failure or said

    def ending(self, *, is_cancelled: bool) -> Ending:
        """Return how the retrieve ended. A cancel that came too late to stop anything changes nothing."""
        if is_cancelled and self.remaining:
            return Ending.CANCELLED
        if not self.failed and not self.warned:
            return Ending.SUCCESS
        return Ending.FAILURE if self.failed == self.total else Ending.WARNING


class Retrieve:
    """Finds the instances of a retrieve and opens them. Any thread may call any method."""

    def __init__(
        self,
        index: Index,
        objects: Objects,
        *,
        read_ahead_bytes: int = READ_AHEAD_BYTES,
        convert: Converter = cannot_convert,
        fetch_threads: int = 8,
    ) -> None:
        """`read_ahead_bytes` is what each retrieve may hold in memory; `fetch_threads` are those of all together."""
        self._index = index
        self._objects = objects
        self._read_ahead_bytes = read_ahead_bytes
        self._convert = convert
        self._fetching = ThreadPoolExecutor(fetch_threads, "fetch") if objects.are_far else None
        self._fetch_threads = fetch_threads
        self.precedence = Precedence()

    def plan(self, query: Query) -> list[Located]:
        """Return the instances to send, in order; raises `PatientConflict`, `TemporaryError`."""
        return self._index.locate(query)

    def open(self, located: Located) -> Readable:
        """Open one; raises `ObjectNotFound`, `OutOfResources`."""
        return self._objects.open(located)

    def read_ahead(
        self,
        plan: Sequence[Located],
        *,
        wanted_in: Callable[[Located], str | None] = lambda located: located.transfer_syntax_uid,
    ) -> ReadAhead:
        """Return what reads a plan ahead of being sent, each instance in the transfer syntax that it is wanted in."""
        return ReadAhead(
            plan,
            self.open,
            max_bytes=self._read_ahead_bytes,
            wanted_in=wanted_in,
            convert=self._convert,
            distrust=self._objects.distrust,
            prefetch=self._prefetch(plan, wanted_in),
        )

    def _prefetch(
        self, plan: Sequence[Located], wanted_in: Callable[[Located], str | None]
    ) -> Prefetch | None:
        if self._fetching is None:
            return None
        return Prefetch(
            plan,
            self._objects.fetch,
            self._fetching,
            threads=self._fetch_threads,
            is_wanted=lambda located: wanted_in(located) is not None,
        )
