"""A background thread that calls a step, waits as long as the step says, and wakes when rung.

The loop is the named boundary of a job: an unexpected exception is logged and the step called again later.
"""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

_AFTER_UNEXPECTED_SECONDS = 5.0
_GATHER_SECONDS = 1.0  # after a ring, so that a batch is worth its flushes


class Loop:
    """Runs one job. `ring` never blocks, on whatever thread; a lost ring costs time, not work."""

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        """`step` returns after how many seconds it wants to be called again, unless rung."""
        self._name = name
        self._step = step
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"job-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ring(self) -> None:
        """Say that there is something to do."""
        self._bell.set()

    def stop(self) -> None:
        """End the loop after the step that runs, and wait for it."""
        self._stopping.set()
        self._bell.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._bell.clear()
            if self._stopping.is_set():
                return  # between the look above and the clearing, which would have lost the ring
            try:
                seconds = self._step()
            except Exception:  # the named boundary of a job
                log.exception(
                    "job %s: unexpected error, goes on in %.0f s", self._name, _AFTER_UNEXPECTED_SECONDS
                )
                seconds = _AFTER_UNEXPECTED_SECONDS
            if seconds > 0 and self._bell.wait(seconds):
                self._stopping.wait(_GATHER_SECONDS)
