"""Filing: what waits in the spool becomes objects of the storage.

Each step takes a batch in the order of arrival: put all, sync the storage once, record them as stored, sync
the index, and only then remove the spool entries. At every point at least one durable copy is named by an
index that survives, or by the spool, which the next start reads again.

Where the storage is far away several are put side by side, begun in the order of arrival, and several processes may
share out the series. What is recorded is what the storage has said it has, whatever became of the others.

An object that exists already may be our own earlier success (a crash between `put` and the record): the storage
compares. Other bytes under that name are left alone, the entry stays in the spool and is reported.

Trouble with the storage as a whole ends a step, which is tried again with longer and longer waits, for as long as it
takes; it is said once when it begins or changes, and once when it is over.
"""

import logging
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from pacsnode.archive.custody import Custody
from pacsnode.archive.objects import entry_of, name_of
from pacsnode.dicom.part10 import parse_meta
from pacsnode.errors import (
    DamagedObject,
    ObjectNotFound,
    PacsNodeError,
    PermanentError,
    RequestError,
    StorageRefused,
    TemporaryError,
)
from pacsnode.index.base import Index, Located
from pacsnode.spool import Entry, Spool
from pacsnode.state.base import CustodyKind
from pacsnode.storage.base import ObjectFacts, Readable, Storage
from pacsnode.storage.files import FileReadable
from pacsnode.storage.metadata import metadata_of
from pacsnode.storage.reading import bytes_of

log = logging.getLogger(__name__)

_BATCH = 256
_IDLE_SECONDS = 30.0
_META_BYTES = 4096
_MOST_REASONS = 100
_RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)


@dataclass(frozen=True, slots=True)
class Share:
    """Which of the series are filed here: those of the `number`th of `processes`, by as many threads."""

    number: int = 0
    processes: int = 1
    threads: int = 1

    def has(self, located: Located) -> bool:
        """Return whether an instance is of this share."""
        return zlib.crc32(located.series_instance_uid.encode("ascii")) % self.processes == self.number


WHOLE = Share()


@dataclass(frozen=True, slots=True)
class Kept:
    """An instance that stays in the spool, and why."""

    sop_instance_uid: str
    version: int
    why: str


@dataclass(slots=True)
class FilingState:
    """What a step leaves for the next one."""

    after_token: int = 0  # entries up to here were seen in this round; those that failed wait for the next
    has_skipped: bool = False  # some of this round are behind
    failures: int = 0  # steps that failed one after another
    not_before: float = 0.0  # after trouble, however often it is rung for
    trouble: str = ""  # why the last of those failures was one


class Filing:
    """Moves instances from the spool to the storage. One thread calls `step`."""

    def __init__(
        self,
        *,
        index: Index,
        spool: Spool,
        storage: Storage,
        custody: Custody,
        stop: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
        share: Share = WHOLE,
        node: str | None = None,
        keep: Callable[[Located, FileReadable], None] | None = None,
    ) -> None:
        """`stop` tells a step to end between two instances; what was put is still recorded.

        With a `node`, its name, the objects get metadata (`storage.metadata`). `keep` is told of each entry that goes.
        """
        self._index = index
        self._spool = spool
        self._storage = storage
        self._custody = custody
        self._stop = stop
        self._now = now
        self._share = share
        self._node = node
        self._keep = keep
        self._state = FilingState()
        self._removable: list[
            tuple[Entry, Located]
        ] = []  # stored and recorded; they go once the index is synced
        self._reported: dict[int, Kept] = {}  # by instance

    def step(self) -> float:
        """File one batch; return after how many seconds to come again unless rung before (0: at once)."""
        if (left := self._state.not_before - self._now()) > 0:
            return left
        try:
            count = self._file_batch()
        except (TemporaryError, StorageRefused) as error:
            wait = _RETRY_SECONDS[min(self._state.failures, len(_RETRY_SECONDS) - 1)]
            if str(error) != self._state.trouble:
                severity = logging.ERROR if isinstance(error, PermanentError) else logging.WARNING
                log.log(severity, "filing stopped, and is tried again until it goes on: %s", error)
            self._failed(error)
            self._state.not_before = self._now() + wait
            return wait
        except PermanentError as error:
            self._failed(error)
            raise
        if self._state.failures:
            log.info("filing goes on")
        self._state.failures, self._state.trouble = 0, ""
        if count == _BATCH:
            return 0.0
        self._state.after_token = 0  # the next round begins with those that failed in this one
        if self._state.has_skipped:
            self._state.has_skipped = False
            return 0.0
        return _RETRY_SECONDS[0] if self._removable else _IDLE_SECONDS

    def report(self) -> dict[str, object]:
        """Return how it goes: steps that failed one after another and why, instances that cannot be filed and why."""
        reported = list(self._reported.values())
        return {
            "failures": self._state.failures,
            "trouble": self._state.trouble if self._state.failures else None,
            "kept": len(reported),
            "reasons": [asdict(kept) for kept in reported[:_MOST_REASONS]],
        }

    def _failed(self, error: TemporaryError | PermanentError) -> None:
        self._state.failures += 1
        self._state.trouble = str(error)

    def _file_batch(self) -> int:
        batch = self._waiting()
        putting = _Putting(batch, self._file, stop=self._stop)
        putting.run(self._share.threads)
        self._state.after_token = max((located.token or 0 for located in putting.begun), default=0)
        self._record(putting.filed)
        if putting.trouble is not None:
            # It may be that of one instance alone: the next step goes on behind it. If it is of all, it does not.
            self._state.has_skipped = not isinstance(putting.trouble, StorageRefused)
            if not self._state.has_skipped:
                self._state.after_token = 0
            raise putting.trouble
        return len(batch)

    def _waiting(self) -> Sequence[Located]:
        """Return what to put next: of the instances that wait those of our share."""
        batch = self._ours_after(self._state.after_token)
        if not batch and self._state.failures:
            batch = self._ours_after(0)
        return batch

    def _ours_after(self, token: int) -> list[Located]:
        ours: list[Located] = []
        while page := self._index.waiting(after_token=token, limit=_BATCH):
            ours += filter(self._share.has, page)
            token = page[-1].token or 0
            if len(page) < _BATCH or len(ours) >= _BATCH:
                break
        return ours[:_BATCH]

    def _record(self, filed: Sequence[Located]) -> None:
        if filed:
            self._storage.sync()
            self._index.mark_stored([located.instance_id for located in filed])
            self._removable += [(entry, located) for located in filed if (entry := entry_of(located))]
        if self._removable and self._index.sync():
            removable, self._removable = self._removable, []
            for entry, located in removable:
                self._leave(entry, located)

    def _leave(self, entry: Entry, located: Located) -> None:
        """Remove a spool entry, whose bytes are in the storage."""
        if self._keep is not None:
            with suppress(PacsNodeError):  # it is kept for speed only
                source = self._spool.open(entry)
                try:
                    self._keep(located, source)
                finally:
                    source.close()
        self._spool.remove(entry)

    def _file(self, located: Located) -> bool:
        """Put one instance; true if the storage has it, false (and reported once) if it has to wait."""
        try:
            self._put(located)
        except StorageRefused:
            raise  # it is about all of them
        except PermanentError as error:
            kept = Kept(located.sop_instance_uid, located.version, str(error))
            if self._reported.get(located.instance_id) != kept:
                self._reported[located.instance_id] = kept
                log.error("instance %s stays in the spool: %s", located.sop_instance_uid, error)
                self._custody.note(
                    _kind_of(error),
                    str(error),
                    name=name_of(located),
                    sop_instance_uid=located.sop_instance_uid,
                )
            return False
        self._reported.pop(located.instance_id, None)
        return True

    def _put(self, located: Located) -> None:
        entry = entry_of(located)
        assert entry is not None
        source = self._spool.open(entry)
        try:
            if source.length != located.file_length:
                raise DamagedObject(f"{source.length} bytes where {located.file_length} were received")
            self._storage.put(name_of(located), source, self._facts(located, entry, source))
        finally:
            source.close()

    def _facts(self, located: Located, entry: Entry, source: Readable) -> ObjectFacts:
        if self._node is None:
            return ObjectFacts(located.file_crc32c)
        try:
            calling_ae_title = parse_meta(
                bytes_of(source, min(_META_BYTES, source.length), 0)
            ).calling_ae_title
        except RequestError:
            calling_ae_title = ""
        metadata = metadata_of(
            calling_ae_title=calling_ae_title,
            received_at_ms=entry.received_at_ms,
            data_set_crc32c=located.data_set_crc32c,
            file_crc32c=located.file_crc32c,
            node=self._node,
        )
        return ObjectFacts(located.file_crc32c, metadata)


class _Putting:
    """One batch, put by several threads, each of which takes the next one; trouble or a stop ends them all."""

    def __init__(
        self, batch: Sequence[Located], file: Callable[[Located], bool], *, stop: Callable[[], bool]
    ) -> None:
        self._left = iter(batch)
        self._file = file
        self._stop = stop
        self._lock = threading.Lock()
        self.begun: list[Located] = []
        self.filed: list[Located] = []
        self.trouble: TemporaryError | StorageRefused | None = None
        self._unexpected: Exception | None = None

    def run(self, threads: int) -> None:
        """Put all; what is unexpected is raised when all have ended."""
        others = [threading.Thread(target=self._lane, name="upload") for _ in range(threads - 1)]
        for thread in others:
            thread.start()
        self._lane()
        for thread in others:
            thread.join()
        if self._unexpected is not None:
            raise self._unexpected

    def _lane(self) -> None:
        while (located := self._next()) is not None:
            try:
                is_filed = self._file(located)
            except (TemporaryError, StorageRefused) as error:
                self.trouble = self.trouble or error
                return
            except Exception as error:  # noqa: BLE001 - raised again by who runs this
                self._unexpected = error
                return
            if is_filed:
                with self._lock:
                    self.filed.append(located)

    def _next(self) -> Located | None:
        with self._lock:
            if self._stop() or self.trouble is not None or self._unexpected is not None:
                return None
            located = next(self._left, None)
            if located is not None:
                self.begun.append(located)
            return located


def _kind_of(error: PermanentError) -> CustodyKind:
    if isinstance(error, DamagedObject):
        return CustodyKind.DAMAGED
    return CustodyKind.LOST if isinstance(error, ObjectNotFound) else CustodyKind.NOT_FILED
