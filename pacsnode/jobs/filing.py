"""Filing: what waits in the spool becomes objects of the storage.

Each step takes a batch in the order of arrival: put all, sync the storage once, record them as stored, sync
the index, and only then remove the spool entries. At every point at least one durable copy is named by an
index that survives, or by the spool, which the next start reads again.

An object that exists already may be our own earlier success (a crash between `put` and the record): the storage
compares. Other bytes under that name are left alone, the entry stays in the spool and is reported.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pacsnode.archive.custody import Custody
from pacsnode.archive.objects import entry_of, name_of
from pacsnode.errors import DamagedObject, ObjectNotFound, PermanentError, TemporaryError
from pacsnode.index.base import Index, Located
from pacsnode.spool import Entry, Spool
from pacsnode.state.base import CustodyKind
from pacsnode.storage.base import ObjectFacts, Storage

log = logging.getLogger(__name__)

_BATCH = 256
_IDLE_SECONDS = 30.0
_RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)


@dataclass(slots=True)
class FilingState:
    """What a step leaves for the next one."""

    after_token: int = 0  # entries up to here were seen in this round; those that failed wait for the next
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
    ) -> None:
        """`stop` tells a step to end between two instances; what was put is still recorded."""
        self._index = index
        self._spool = spool
        self._storage = storage
        self._custody = custody
        self._stop = stop
        self._now = now
        self._state = FilingState()
        self._removable: list[Entry] = []  # stored and recorded; they go once the index is synced
        self._reported: set[int] = set()

    def step(self) -> float:
        """File one batch; return after how many seconds to come again unless rung before (0: at once)."""
        if (left := self._state.not_before - self._now()) > 0:
            return left
        try:
            count = self._file_batch()
        except TemporaryError as error:
            wait = _RETRY_SECONDS[min(self._state.failures, len(_RETRY_SECONDS) - 1)]
            self._failed(error)
            self._state.not_before = self._now() + wait
            log.warning("filing stopped and goes on in %.0f s: %s", wait, error)
            return wait
        except PermanentError as error:
            self._failed(error)
            raise
        self._state.failures = 0
        if count == _BATCH:
            return 0.0
        self._state.after_token = 0  # the next round begins with those that failed in this one
        return _RETRY_SECONDS[0] if self._removable else _IDLE_SECONDS

    def report(self) -> dict[str, object]:
        """Return how it goes: steps that failed one after another and why, instances that cannot be filed."""
        return {
            "failures": self._state.failures,
            "trouble": self._state.trouble if self._state.failures else None,
            "kept": len(self._reported),
        }

    def _failed(self, error: TemporaryError | PermanentError) -> None:
        self._state.failures += 1
        self._state.trouble = str(error)

    def _file_batch(self) -> int:
        batch, filed, trouble = self._waiting(), list[Located](), None
        for located in batch:
            if self._stop():
                break
            self._state.after_token = located.token or 0
            try:
                if self._file(located):
                    filed.append(located)
            except TemporaryError as error:
                trouble = error  # it may be this instance's alone: the next step goes on behind it
                break
        self._record(filed)
        if trouble is not None:
            raise trouble
        return len(batch)

    def _waiting(self) -> Sequence[Located]:
        batch = self._index.waiting(after_token=self._state.after_token, limit=_BATCH)
        if not batch and self._state.failures:
            batch = self._index.waiting(limit=_BATCH)
        return batch

    def _record(self, filed: Sequence[Located]) -> None:
        if filed:
            self._storage.sync()
            self._index.mark_stored([located.instance_id for located in filed])
            self._removable += [entry for located in filed if (entry := entry_of(located))]
        if self._removable and self._index.sync():
            removable, self._removable = self._removable, []
            for entry in removable:
                self._spool.remove(entry)

    def _file(self, located: Located) -> bool:
        """Put one instance; true if the storage has it, false (and reported once) if it has to wait."""
        try:
            self._put(located)
        except PermanentError as error:
            if located.instance_id not in self._reported:
                self._reported.add(located.instance_id)
                log.error("instance %s stays in the spool: %s", located.sop_instance_uid, error)
                self._custody.note(
                    _kind_of(error),
                    str(error),
                    name=name_of(located),
                    sop_instance_uid=located.sop_instance_uid,
                )
            return False
        self._reported.discard(located.instance_id)
        return True

    def _put(self, located: Located) -> None:
        entry = entry_of(located)
        assert entry is not None
        source = self._spool.open(entry)
        try:
            if source.length != located.file_length:
                raise DamagedObject(f"{source.length} bytes where {located.file_length} were received")
            self._storage.put(name_of(located), source, ObjectFacts(located.file_crc32c))
        finally:
            source.close()


def _kind_of(error: PermanentError) -> CustodyKind:
    if isinstance(error, DamagedObject):
        return CustodyKind.DAMAGED
    return CustodyKind.LOST if isinstance(error, ObjectNotFound) else CustodyKind.NOT_FILED
