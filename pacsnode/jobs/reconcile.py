"""Reconciliation: what a dead process left in the spool is indexed, dropped or set aside, while others go on."""

import logging
import threading
import time
from collections.abc import Callable

from pacsnode.archive.custody import Custody
from pacsnode.archive.recovery import Recovery
from pacsnode.archive.store import Store
from pacsnode.errors import StorageRefused, TemporaryError
from pacsnode.index.base import Index
from pacsnode.spool import Spool

log = logging.getLogger(__name__)

_IDLE_SECONDS = 30.0
_STEP_SECONDS = 0.5  # then filing has its turn


class Reconcile:
    """Looks at the spool whenever it is asked to. One thread calls `step`; any may call `ask`."""

    def __init__(
        self,
        *,
        index: Index,
        spool: Spool,
        store: Store,
        custody: Custody,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recovery = Recovery(index, spool, store, custody)
        self._now = now
        self._asked = threading.Event()
        self._is_under_way = False
        self._again_at = 0.0  # for entries that a live process had in hand; it may have been dying

    def ask(self) -> None:
        """Say that a process has died, or has just been started."""
        self._asked.set()

    @property
    def left(self) -> int:
        """How many entries are known that have to be looked at."""
        return self._recovery.left

    def step(self) -> float:
        """Deal with some entries; return after how many seconds to come again (0: at once)."""
        try:
            return self.step_or_raise()
        except (TemporaryError, StorageRefused) as error:
            log.warning("what a process has left in the spool is looked at again in 30 s: %s", error)
            self._asked.set()
            return _IDLE_SECONDS

    def step_or_raise(self) -> float:
        """Do what `step` does; raises `TemporaryError` or `PermanentError` if the index or the disk fails."""
        if not self._is_under_way and not self._begins():
            return _IDLE_SECONDS
        self._is_under_way = True
        until = self._now() + _STEP_SECONDS
        while self._recovery.left and self._now() < until:
            if (reason := self._recovery.next()) is not None:
                log.error(reason, extra={"limit_by": reason})  # each has its own remedy
        if self._recovery.left:
            return 0.0
        self._is_under_way = False
        self._again_at = self._now() + _IDLE_SECONDS
        return 0.0 if self._asked.is_set() else _IDLE_SECONDS

    def _begins(self) -> bool:
        if self._asked.is_set():
            self._asked.clear()  # first: who asks from now on may know of more
            self._recovery.look()
            return True
        if self._recovery.undecided and self._again_at <= self._now():
            self._recovery.look_again()
            return True
        return False

    def say(self) -> None:
        """Write to the log what was found so far."""
        found = self._recovery.recovered
        log.info(
            "spool: %d waiting, %d indexed now, %d dropped as stored already, %d set aside, %d left",
            found.waiting,
            found.indexed,
            found.dropped,
            found.set_aside,
            found.left,
        )
