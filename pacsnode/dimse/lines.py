"""How many associations this process has to each destination of a C-MOVE, so that all of them together keep a limit."""

import threading
from collections import Counter

from pacsnode.dimse.association.requestor import Remote

MOST_LINES = 4  # of one C-MOVE; all of them share the interpreter of their worker


class Lines:
    """Counts associations by destination. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[Remote] = Counter()

    def take(self, destination: Remote) -> None:
        """Count one, whatever there is already: each C-MOVE has at least one."""
        with self._lock:
            self._open[destination] += 1

    def take_below(self, destination: Remote, limit: int) -> bool:
        """Count a further one if there are fewer than the limit; return whether."""
        with self._lock:
            if self._open[destination] >= limit:
                return False
            self._open[destination] += 1
            return True

    def give_back(self, destination: Remote) -> None:
        """Count one no more."""
        with self._lock:
            self._open[destination] -= 1
            if not self._open[destination]:
                del self._open[destination]
