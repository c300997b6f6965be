"""How long a destination is tried that drops associations, is away, or does not move. No sockets.

- A destination that cannot be reached at all is given up at once: who asked learns of it in seconds.
- One that rejects for now, or is away after it was there before (it restarts), is called again after a wait, a few
  times.
- One that drops one association after the other, without taking an instance between them, is given up.
- One with which nothing was delivered for `stalled_seconds`, by whatever means, is given up.

Each delivery begins all of it anew.
"""

import threading
import time
from collections.abc import Callable, Sequence

MAX_LOST = 5
WAITS_SECONDS = (1.0, 2.0, 4.0)


class Endurance:
    """What one C-MOVE puts up with. Any thread may call any method."""

    def __init__(
        self,
        *,
        stalled_seconds: float,
        waits_seconds: Sequence[float] = WAITS_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` is a monotonic clock in seconds."""
        self._stalled_seconds = stalled_seconds
        self._waits = tuple(waits_seconds)
        self._now = now
        self._lock = threading.Lock()
        self._moved = now()
        self._lost = self._tries = 0
        self._was_there = False

    def associated(self) -> None:
        """Count an association that was established."""
        with self._lock:
            self._was_there = True

    def delivered(self) -> None:
        """Count an instance that was answered, whatever the answer."""
        with self._lock:
            self._lost = self._tries = 0
            self._moved = self._now()

    def may_follow_loss(self) -> bool:
        """Count an association that ended; return whether there may be another one."""
        with self._lock:
            self._lost += 1
            return self._lost <= MAX_LOST and not self._is_stalled()

    def wait_after_failure(self, *, is_temporary: bool) -> float | None:
        """Count an association that was not established; return the seconds until the next try, None for no more."""
        with self._lock:
            if not (is_temporary or self._was_there) or self._tries >= len(self._waits) or self._is_stalled():
                return None
            self._tries += 1
            return self._waits[self._tries - 1]

    def _is_stalled(self) -> bool:
        return self._now() - self._moved >= self._stalled_seconds
