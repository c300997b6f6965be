"""When a C-GET or C-MOVE answers Pending: after what was sent, not for each of thousands, and on time if nothing was.

The Standard leaves the number of Pending responses to the SCP (PS3.4 C.4.2.3.1, C.4.3.3.1). A requestor shows its
progress by them and takes their absence for a dead node, but each one costs it as much as a small image: hence the
first twenty-five come after each sub-operation, and then at most as many a second.
"""

import time
from collections.abc import Callable

PENDING_SECONDS = 5.0  # a requestor's time-out between two responses is never that short
BURST = 25
A_SECOND = 25


class Pace:
    """A token bucket. One thread, or several that do not mind a Pending more or less."""

    def __init__(
        self, *, burst: int = BURST, a_second: float = A_SECOND, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`now` is a monotonic clock in seconds."""
        self._burst, self._a_second, self._now = burst, a_second, now
        self._left: float = burst
        self._since = now()

    def is_due(self) -> bool:
        """Return whether there is to be a Pending now, and count it."""
        now = self._now()
        self._left = min(self._burst, self._left + (now - self._since) * self._a_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
