"""The hourly copy of the state: beside it, and in the storage for the day on which the data folder is gone.

A copy is made when the state has changed since the newest one. It is consistent (SQLite's online backup), checked
page by page, and durable under a name that tells what its bytes must be before it counts. Old ones go by
`state.copies.kept`, in the storage first: what could not be removed there is tried again with the next.

Hours are counted by the monotonic clock; the clock on the wall only names copies, and tells at a start how long ago
the newest was made.
"""

import logging
import time
from collections.abc import Callable

from pacsnode.errors import PermanentError, TemporaryError
from pacsnode.state.base import State
from pacsnode.state.copies import Copies, Copy, kept
from pacsnode.storage.base import ObjectFacts, Readable, Storage
from pacsnode.storage.names import state_copy_name

log = logging.getLogger(__name__)

HOUR_SECONDS = 3600.0
_RETRY_SECONDS = 300.0


class StateCopy:
    """Copies the state. One thread calls `step`."""

    def __init__(
        self,
        *,
        state: State,
        copies: Copies,
        storage: Storage,
        stop: Callable[[], bool],
        is_damaged: Callable[[], bool],
        now_ms: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_damaged` looks at the state itself when its copy is not in order, and does what that means.

        `stop` leaves a copy undone.
        """
        self._state = state
        self._copies = copies
        self._storage = storage
        self._stop = stop
        self._is_damaged = is_damaged
        self._now_ms = now_ms
        self._now = now
        self._not_before: float | None = None
        self._is_in_storage: Copy | None = None

    def step(self) -> float:
        """Copy if it is time and anything changed; return after how many seconds to come again."""
        try:
            if self._not_before is None:
                self._not_before = self._now() + self._first_wait_seconds()
            if (left := self._not_before - self._now()) > 0:
                return left
            self._copy_if_changed()
            self._put_newest()
        except (TemporaryError, PermanentError) as error:
            if isinstance(error, PermanentError) and self._is_damaged():
                return self._again_in(HOUR_SECONDS)
            log.warning("the state could not be copied, tried again in %.0f s: %s", _RETRY_SECONDS, error)
            return self._again_in(_RETRY_SECONDS)
        return self._again_in(HOUR_SECONDS)

    def _again_in(self, seconds: float) -> float:
        self._not_before = self._now() + seconds
        return seconds

    def _first_wait_seconds(self) -> float:
        """An hour from the newest copy, or from the beginning, however often the node was started since."""
        newest = next(iter(self._copies.list()), None)
        since_ms = newest.made_at_ms if newest is not None else self._state.revision().created_at_ms
        return min(max(HOUR_SECONDS - (self._now_ms() - since_ms) / 1000, 0.0), HOUR_SECONDS)

    def _copy_if_changed(self) -> None:
        newest = next(iter(self._copies.list()), None)
        if newest is not None and newest.revision == self._state.revision().number:
            return
        unfinished = self._copies.unfinished()
        try:
            revision = self._state.copy(unfinished, stop=self._stop)
            if revision is None:
                return
            copy = self._copies.publish(unfinished, revision=revision, made_at_ms=self._now_ms())
        finally:
            self._copies.discard_unfinished()
        log.info("the state is copied to %s", self._copies.path / copy.name)
        self._remove_old()

    def _remove_old(self) -> None:
        copies = self._copies.list()
        keep = kept(copies)
        for copy in copies:
            if copy not in keep:
                self._storage.delete(state_copy_name(copy.name))
                self._copies.remove(copy)

    def _put_newest(self) -> None:
        newest = next(iter(self._copies.list()), None)
        if newest is None or newest == self._is_in_storage:
            return
        source = self._copies.open(newest)
        try:
            self._storage.put(state_copy_name(newest.name), _Apart(source), ObjectFacts(newest.crc32c))
        finally:
            source.close()
        self._storage.sync()
        self._is_in_storage = newest


class _Apart:
    """A `Readable` that a storage cannot link: one damaged sector must not be in both copies."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.length = source.length

    def read_into(self, buffer: memoryview, offset: int) -> int:
        return self._source.read_into(buffer, offset)

    def close(self) -> None:
        self._source.close()
