"""What the node keeps, looked at now and then for `pacsnode status`: spool, index, storage, whatever is asked.

Counting an index of millions takes longer than counting an empty one. So each part says itself how often it is
looked at: not before ten seconds have passed, nor a hundred times as long as the last look took.
"""

import threading
import time
from collections.abc import Callable, Mapping

from pacsnode.errors import PermanentError, TemporaryError

_LEAST_SECONDS = 10.0
_SHARE = 100.0

Part = Callable[[], Mapping[str, object]]


class Survey:
    """Looks at each part when it is due. One thread calls `step`, any thread `report`."""

    def __init__(self, parts: Mapping[str, Part], *, now: Callable[[], float] = time.monotonic) -> None:
        """Each part returns what JSON can hold, or raises `PacsNodeError` or `OSError`: then that is its report."""
        self._parts = dict(parts)
        self._now = now
        self._due = dict.fromkeys(parts, now())
        self._lock = threading.Lock()
        self._report: dict[str, object] = {}

    def step(self) -> float:
        """Look at what is due; return after how many seconds something is due again."""
        for name, part in self._parts.items():
            started = self._now()
            if started >= self._due[name]:
                found = _looked_at(part)
                ended = self._now()
                self._due[name] = ended + max(_LEAST_SECONDS, _SHARE * (ended - started))
                with self._lock:
                    self._report[name] = found
        return max(0.0, min(self._due.values()) - self._now()) if self._due else _LEAST_SECONDS

    def report(self) -> dict[str, object]:
        """Return what was found last, by the name of the part."""
        with self._lock:
            return dict(self._report)


def _looked_at(part: Part) -> Mapping[str, object]:
    try:
        return part()
    except (TemporaryError, PermanentError, OSError) as error:
        # Shown by `status` as a problem of the node, once for each look, and gone when it is.
        return {"error": str(error)}
