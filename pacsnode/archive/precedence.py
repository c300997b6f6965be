"""Urgent retrieves go first: the Priority of a C-GET or C-MOVE (PS3.7 9.1.3.1, 9.1.4.1), within one process.

While a retrieve of a higher priority is under way, one of a lower priority waits a little before each instance. It
never stops, so that no time-out of its peers strikes and nothing is starved: it sends at least ten a second.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Priority (0000,0700), the most urgent first; a value that the Standard does not have counts as medium.
_HIGH, _MEDIUM, _LOW = 0x0001, 0x0000, 0x0002
_RANKS = {_HIGH: 0, _MEDIUM: 1, _LOW: 2}
_WAIT_SECONDS = 0.1


class Precedence:
    """Who is sending, by priority. Any thread may call any method."""

    def __init__(self, *, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._changed = threading.Condition()
        self._active = [0] * len(_RANKS)
        self._first = len(_RANKS)  # the rank of the most urgent that is active

    @contextmanager
    def active(self, priority: int) -> Iterator[None]:
        """Be somebody whom others of a lower priority wait for."""
        self._count(priority, 1)
        try:
            yield
        finally:
            self._count(priority, -1)

    def give_way(self, priority: int) -> None:
        """Wait a little if somebody more urgent is active."""
        rank = _rank(priority)
        if self._first >= rank:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._first >= rank, self._wait_seconds)

    def _count(self, priority: int, step: int) -> None:
        with self._changed:
            self._active[_rank(priority)] += step
            self._first = next((rank for rank, count in enumerate(self._active) if count), len(_RANKS))
            self._changed.notify_all()


def _rank(priority: int) -> int:
    return _RANKS.get(priority, _RANKS[_MEDIUM])
