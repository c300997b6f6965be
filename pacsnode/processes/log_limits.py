"""A failing subsystem says the same line thousands of times a minute: the first ones, then one a minute.

Two lines are the same if they come from the same call and its `limit_by` (an `extra` of the call: whom it is about)
is equal. The first ten are written at once. Further ones are counted, and once a minute the newest of them is
written with their number, until a minute passes without one. Nothing below WARNING is limited: what there is one of
for each association is a record of what happened.

What is remembered is bounded: where peers bring up more subjects than there is room for, the rest of a call's lines
count as the same, so that no peer can crowd out the first line of another call.
"""

import copy
import logging
from dataclasses import dataclass

FIRST_LINES = 10
WINDOW_SECONDS = 60.0

_MAX_SUBJECTS = 256

_Key = tuple[object, ...]


@dataclass(slots=True)
class _Seen:
    """How often a line was said, in all and since the window began, and the newest that was not written."""

    window_end: float
    written: int = 0
    withheld: int = 0
    newest: logging.LogRecord | None = None


class LineLimit:
    """Decides which records are written. Not thread-safe: a handler calls it under its lock."""

    def __init__(self, window_seconds: float = WINDOW_SECONDS) -> None:
        self._window_seconds = window_seconds
        self._seen: dict[_Key, _Seen] = {}

    def admits(self, record: logging.LogRecord, now: float) -> bool:
        """Return whether to write a record at once; if not, `due` tells of it later."""
        if record.levelno < logging.WARNING:
            return True
        seen = self._of(record, now)
        if seen.written < FIRST_LINES:
            seen.written += 1
            return True
        seen.withheld += 1
        seen.newest = record
        return False

    def _of(self, record: logging.LogRecord, now: float) -> _Seen:
        call = (record.pathname, record.lineno, record.levelno)
        key: _Key = (*call, getattr(record, "limit_by", None))
        if key not in self._seen and len(self._seen) >= _MAX_SUBJECTS:
            key = call
        return self._seen.setdefault(key, _Seen(now + self._window_seconds))

    def seconds_until_due(self, now: float) -> float:
        """Return after how many seconds a withheld record is due, at once if one is."""
        ends = [seen.window_end for seen in self._seen.values() if seen.withheld]
        return max(0.0, min(ends, default=now + self._window_seconds) - now)

    def due(self, now: float) -> list[logging.LogRecord]:
        """Return the newest record of each window that is over, with `repeated` set; quiet lines begin anew."""
        over = [(key, seen) for key, seen in self._seen.items() if seen.window_end <= now]
        records = []
        for key, seen in over:
            if seen.newest is None:
                del self._seen[key]
                continue
            records.append(_summary(seen.newest, seen.withheld))
            seen.withheld, seen.newest, seen.window_end = 0, None, now + self._window_seconds
        return records

    def rest(self) -> list[logging.LogRecord]:
        """Return what is still withheld, due or not: the process ends."""
        for seen in self._seen.values():
            seen.window_end = 0.0
        return self.due(self._window_seconds)


def _summary(record: logging.LogRecord, withheld: int) -> logging.LogRecord:
    summary = copy.copy(record)
    summary.__dict__["repeated"] = withheld
    return summary
