"""Trimming: the cache stays within its limit, and gives way before the spool runs out of room."""

import time
from collections.abc import Callable

_EVERY_SECONDS = 5.0


class Trimming:
    """Looks at the cache every five seconds, less often where a look takes long. One thread calls `step`."""

    def __init__(
        self,
        trim: Callable[[], int],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trim = trim
        self._now = now
        self._due = now()

    def step(self) -> float:
        """Trim if it is time to; return after how many seconds to come again."""
        started = self._now()
        if started < self._due:
            return self._due - started
        self._trim()
        self._due = self._now() + max(_EVERY_SECONDS, 20 * (self._now() - started))
        return self._due - self._now()
