"""Checkpoints: what the index has committed gets into its file, however little is filed.

Filing syncs the index after each batch, which is a checkpoint too. This is for the time when it does not: nothing
is filed while the storage is away, and the log that SQLite writes ahead would grow with each instance.
"""

import time
from collections.abc import Callable

from pacsnode.index.base import Index

_EVERY_SECONDS = 30.0


class Checkpoint:
    """Syncs the index every 30 s. One thread calls `step`."""

    def __init__(self, index: Index, *, now: Callable[[], float] = time.monotonic) -> None:
        self._index = index
        self._now = now
        self._due = now() + _EVERY_SECONDS

    def step(self) -> float:
        """Sync if it is time to; return after how many seconds to come again. Raises `TemporaryError`."""
        if (left := self._due - self._now()) > 0:
            return left
        self._due = self._now() + _EVERY_SECONDS
        self._index.sync()
        return _EVERY_SECONDS
