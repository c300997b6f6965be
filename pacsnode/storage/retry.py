"""Trying again, around a storage that is far away.

Each call has a budget of time. Within it a `TemporaryError` is followed by a wait that doubles, half of it random
so that many threads do not come back at once, and at least what the storage asked for (Retry-After). A wait that does
not fit into the budget any more is not begun: the caller has a longer patience than a call, and a queue.

All calls together have a second budget, so that a storage in trouble is not asked several times as often as a
healthy one: each retry takes a token, ten successes or ten seconds bring one back. A stop ends every wait.

A download that arrived damaged is fetched once more: the bytes that lie there are right more often than the way.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from pacsnode.errors import DamagedObject, TemporaryError
from pacsnode.storage.base import ObjectFacts, ObjectInfo, Readable, Storage

_Result = TypeVar("_Result")

log = logging.getLogger(__name__)

BUDGET_SECONDS = 30.0
_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 8.0
_TOKENS = 320  # in tenths
_TENTHS_OF_RETRY = 10
_TENTHS_OF_SUCCESS = 1
_TENTHS_OF_SECOND = 1


class FarStorage(Storage, Protocol):
    """A storage that may not be there, and whose listing comes in pages, each of which can be asked for again."""

    def check(self) -> None:
        """Ask whether all that a node does can be done. Raises `StorageRefused`, `StorageAway`."""

    def page(self, token: str) -> tuple[Sequence[ObjectInfo], str]:
        """Return some objects and the token of the next page; both begin and end with empty text."""


class Retry:
    """Tries calls again. Any thread may call it."""

    def __init__(
        self,
        *,
        stop: threading.Event | None = None,
        budget_seconds: float = BUDGET_SECONDS,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        """`wait` waits for seconds and returns whether to stop: that of `stop` unless a test has its own clock."""
        self._stopped = (stop or threading.Event()).wait if wait is None else wait
        self._budget_seconds = budget_seconds
        self._now = now
        self._chance = chance or secrets.SystemRandom().random
        self._tenths = float(_TOKENS)
        self._counted_at = now()
        self._lock = threading.Lock()

    def __call__(self, call: Callable[[], _Result]) -> _Result:
        """Return what a call returns; raises its last error when there is no budget left, or a stop."""
        ends, wait = self._now() + self._budget_seconds, _FIRST_SECONDS
        while True:
            try:
                result = call()
            except TemporaryError as error:
                seconds = max(wait * (0.5 + 0.5 * self._chance()), _asked_for(error))
                if self._now() + seconds > ends or not self._take():
                    raise
                log.debug("tried again in %.1f s: %s", seconds, error)
                if self._stopped(seconds):
                    raise
                wait = min(2 * wait, _LONGEST_SECONDS)
            else:
                self._give()
                return result

    def _take(self) -> bool:
        with self._lock:
            now = self._now()
            self._tenths = min(_TOKENS, self._tenths + (now - self._counted_at) * _TENTHS_OF_SECOND)
            self._counted_at = now
            if self._tenths < _TENTHS_OF_RETRY:
                return False
            self._tenths -= _TENTHS_OF_RETRY
            return True

    def _give(self) -> None:
        with self._lock:
            self._tenths = min(_TOKENS, self._tenths + _TENTHS_OF_SUCCESS)


class RetryingStorage:
    """A storage with retries around each of its calls, and around each read of what it opens."""

    def __init__(self, storage: FarStorage, retry: Retry) -> None:
        self._storage = storage
        self._retry = retry

    def check(self) -> None:
        """Ask whether all that a node does can be done, once: who asks wants to know how it is now."""
        self._storage.check()

    def put(self, name: str, source: Readable, facts: ObjectFacts) -> None:
        """Create an object; one whose answer was lost is found equal the next time."""
        self._retry(lambda: self._storage.put(name, source, facts))

    def open(self, name: str) -> Readable:
        """Open an object."""
        return _RetryingReadable(self._retry(lambda: _twice(lambda: self._storage.open(name))), self._retry)

    def list(self) -> Iterator[ObjectInfo]:
        """Yield all objects; a page that fails is asked for again, and none is given twice for that."""
        token, is_last = "", False
        while not is_last:
            after = token
            found, token = self._retry(lambda: self._storage.page(after))  # noqa: B023 - called at once
            yield from found
            is_last = not token

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        self._retry(lambda: self._storage.delete(name))

    def sync(self) -> None:
        """Make durable what was put."""
        self._retry(self._storage.sync)

    def close(self) -> None:
        """Let go of all resources."""
        self._storage.close()


class _RetryingReadable:
    def __init__(self, readable: Readable, retry: Retry) -> None:
        self._readable = readable
        self._retry = retry
        self.length = readable.length

    def read_into(self, buffer: memoryview, offset: int) -> int:
        return self._retry(lambda: self._readable.read_into(buffer, offset))

    def close(self) -> None:
        self._readable.close()


def _twice(call: Callable[[], _Result]) -> _Result:
    try:
        return call()
    except DamagedObject:
        return call()


def _asked_for(error: TemporaryError) -> float:
    return getattr(error, "retry_after_seconds", None) or 0.0
