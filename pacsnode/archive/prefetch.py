"""Instances of a plan fetched from far away before their turn, several at a time, into the cache.

Whoever reads the plan says how far it has come; the next ones are fetched then, no more than `MOST_AHEAD_BYTES` of
them (one at least) and no more than `_PER_THREAD` for each thread. An error is no news: who reads the instance meets
it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pacsnode.errors import PacsNodeError
from pacsnode.index.base import Located

MOST_AHEAD_BYTES = 64 << 20
_PER_THREAD = 4


class Prefetch:
    """Fetches ahead of one reader, which is one thread. `close` once."""

    def __init__(
        self,
        plan: Sequence[Located],
        fetch: Callable[[Located], None],
        pool: ThreadPoolExecutor,
        *,
        threads: int,
        is_wanted: Callable[[Located], bool],
    ) -> None:
        self._plan = plan
        self._fetch = fetch
        self._pool = pool
        self._most = threads * _PER_THREAD
        self._is_wanted = is_wanted
        self._next = 0
        self._ahead: deque[tuple[int, Future[None]]] = deque()  # by number in the plan
        self._ahead_bytes = 0

    def reached(self, number: int) -> None:
        """Fetch what comes behind the instance of that number."""
        while self._ahead and self._ahead[0][0] <= number:
            self._ahead_bytes -= self._plan[self._ahead.popleft()[0]].file_length
        self._next = max(self._next, number + 1)
        while self._next < len(self._plan) and self._has_room(self._plan[self._next].file_length):
            located = self._plan[self._next]
            if self._is_wanted(located):
                self._ahead.append((self._next, self._pool.submit(self._fetched, located)))
                self._ahead_bytes += located.file_length
            self._next += 1

    def close(self) -> None:
        """Fetch no more; what is under way comes to its end."""
        for _, future in self._ahead:
            future.cancel()
        self._ahead.clear()

    def _has_room(self, length: int) -> bool:
        is_within = self._ahead_bytes + length <= MOST_AHEAD_BYTES and len(self._ahead) < self._most
        return is_within or not self._ahead

    def _fetched(self, located: Located) -> None:
        try:
            self._fetch(located)
        except PacsNodeError:
            return
