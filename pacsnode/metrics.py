"""What happened, counted: an observer whose report `pacsnode status` shows.

It hears each event on the store path, so an event costs a few additions under one lock, and everything that it
keeps is bounded: a ring of sixty seconds for each rate, a number of AE titles, a few errors. There are titles,
counts and statuses, and never patient data; peer strings are escaped and cut.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from pacsnode.access.peer import comparable_ae_title
from pacsnode.association_log import escaped
from pacsnode.observe import (
    NODE_STOPS,
    AssociationAccepted,
    AssociationEnded,
    AssociationRejected,
    Event,
    InstanceStored,
    QueryAnswered,
    RetrieveEnded,
    Verified,
)

SECONDS = 60
MOST_AE_TITLES = 50
MOST_ERRORS = 10

_UNREMARKABLE_ENDINGS = frozenset({"released", "aborted", NODE_STOPS})


class LastMinute:
    """A sum over the last sixty whole seconds: one place for each second and what second it holds."""

    def __init__(self) -> None:
        self._second = [-1] * SECONDS
        self._sums = [0] * SECONDS

    def add(self, second: int, amount: int) -> None:
        """Count what happened in a second of the monotonic clock."""
        at = second % SECONDS
        if self._second[at] != second:
            self._second[at] = second
            self._sums[at] = 0
        self._sums[at] += amount

    def total(self, second: int) -> int:
        """Return the sum of the sixty seconds before this one, which has only begun."""
        oldest = second - SECONDS
        return sum(
            amount for at, amount in zip(self._second, self._sums, strict=True) if oldest <= at < second
        )


class _Rates:
    """Totals since the start, and the last minute of each."""

    def __init__(self, *names: str) -> None:
        self.totals = dict.fromkeys(names, 0)
        self._minutes = {name: LastMinute() for name in names}

    def add(self, second: int, name: str, amount: int) -> None:
        self.totals[name] += amount
        self._minutes[name].add(second, amount)

    def report(self, second: int, seconds: int) -> dict[str, object]:
        rates = {
            f"{name}_per_second": round(minute.total(second) / seconds, 3)
            for name, minute in self._minutes.items()
        }
        return {**self.totals, **rates}


@dataclass(slots=True)
class _Title:
    """The associations of one calling AE title."""

    now: int = 0
    total: int = 0
    rejected: int = 0

    def add(self, other: "_Title") -> None:
        self.now += other.now
        self.total += other.total
        self.rejected += other.rejected


class _Titles:
    """Counts by calling AE title. Anybody may claim any, so only those in use and those seen last are kept."""

    def __init__(self) -> None:
        self._by_title: OrderedDict[str, _Title] = OrderedDict()
        self._others = _Title()

    def of(self, calling_ae_title: str) -> _Title:
        title = comparable_ae_title(calling_ae_title)
        known = self._by_title.get(title)
        if known is None:
            known = self._by_title[title] = _Title()
            self._make_room(title)
        self._by_title.move_to_end(title)
        return known

    def _make_room(self, newest: str) -> None:
        if len(self._by_title) > MOST_AE_TITLES:
            unused = (t for t, counted in self._by_title.items() if not counted.now and t != newest)
            if (oldest := next(unused, None)) is not None:
                self._others.add(self._by_title.pop(oldest))

    def report(self) -> list[dict[str, object]]:
        """Return the titles seen last, the newest first; `ae_title` is None for all others together."""
        newest = list(reversed(self._by_title.items()))
        others = replace(self._others)
        for _, counted in newest[MOST_AE_TITLES:]:
            others.add(counted)
        shown: list[tuple[str | None, _Title]] = [(escaped(t), c) for t, c in newest[:MOST_AE_TITLES]]
        if others != _Title():
            shown.append((None, others))
        return [{"ae_title": title, **asdict(counted)} for title, counted in shown]


@dataclass(slots=True)
class _Error:
    """Something that failed, when last and how often."""

    at: str
    association_id: str
    times: int


class Metrics:
    """Counts events. Any thread may call it, and ask for the report."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        """`now` is a clock that only goes forward, `wall` tells when an error happened."""
        escaped("")  # loads its codec while there are descriptors left
        self._now = now
        self._wall = wall
        self._started = int(now())
        self._lock = threading.Lock()
        self._associations = _Title()
        self._titles = _Titles()
        self._stores = _Rates("instances", "bytes", "failed")
        self._outcomes: Counter[str] = Counter()
        self._queries = _Rates("queries", "matches", "failed")
        self._retrieves = _Rates("retrieves", "instances", "bytes", "failed")
        self._echoes = 0
        self._errors: OrderedDict[str, _Error] = OrderedDict()

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        what = failure_of(event)
        with self._lock:
            if what is not None:
                self._failed(what, getattr(event, "association_id", ""))  # some are about no association
            match event:
                case InstanceStored():
                    self._stored(event)
                case QueryAnswered():
                    self._queried(event)
                case RetrieveEnded():
                    self._retrieved(event)
                case Verified():
                    self._echoes += 1
                case AssociationRejected() | AssociationAccepted() | AssociationEnded():
                    self._associated(event)

    def _associated(self, event: AssociationRejected | AssociationAccepted | AssociationEnded) -> None:
        counts = [self._associations]
        if event.calling_ae_title:  # else it said nothing before it was refused
            counts.append(self._titles.of(event.calling_ae_title))
        for counted in counts:
            match event:
                case AssociationRejected():
                    counted.rejected += 1
                case AssociationAccepted():
                    counted.now += 1
                    counted.total += 1
                case AssociationEnded():
                    counted.now -= 1

    def _stored(self, event: InstanceStored) -> None:
        second, is_stored = int(self._now()), event.status == 0
        self._outcomes[event.outcome.partition(":")[0]] += 1  # an error's name without what it says
        self._stores.add(second, "instances" if is_stored else "failed", 1)
        if is_stored:
            self._stores.add(second, "bytes", event.data_set_bytes)

    def _queried(self, event: QueryAnswered) -> None:
        second = int(self._now())
        self._queries.add(second, "queries", 1)
        self._queries.add(second, "matches", event.matches)
        if event.has_failed:
            self._queries.add(second, "failed", 1)

    def _retrieved(self, event: RetrieveEnded) -> None:
        second = int(self._now())
        self._retrieves.add(second, "retrieves", 1)
        self._retrieves.add(second, "instances", event.completed + event.warned)
        self._retrieves.add(second, "bytes", event.bytes_sent)
        if event.has_failed:
            self._retrieves.add(second, "failed", 1)

    def _failed(self, what: str, association_id: str) -> None:
        times = self._errors.pop(what).times if what in self._errors else 0
        self._errors[what] = _Error(_timestamp(self._wall()), association_id, times + 1)
        if len(self._errors) > MOST_ERRORS:
            self._errors.popitem(last=False)

    def report(self) -> dict[str, object]:
        """Return all counts, as JSON can hold them. Rates are over the last minute, or since the start."""
        second = int(self._now())
        seconds = max(1, min(SECONDS, second - self._started))
        with self._lock:
            return {
                "associations": {**asdict(self._associations), "by_ae_title": self._titles.report()},
                "stores": {**self._stores.report(second, seconds), "by_outcome": dict(self._outcomes)},
                "queries": self._queries.report(second, seconds),
                "retrieves": self._retrieves.report(second, seconds),
                "echoes": self._echoes,
                "last_errors": [
                    {"at": e.at, "association": e.association_id, "what": what, "times": e.times}
                    for what, e in reversed(self._errors.items())
                ],
            }


def failure_of(event: Event) -> str | None:
    """Return what failed, in one line; None for what went well.

    It names no instance and nobody who was refused, the log does: a full disk is one error that happened a thousand
    times, and a scan of the network does not hide it.
    """
    match event:
        case AssociationRejected() if event.association_id:
            return f"association refused: {escaped(event.reason)}"
        case AssociationRejected():
            return f"connection refused: {escaped(event.reason)}"
        case AssociationEnded() if event.ending not in _UNREMARKABLE_ENDINGS:
            return f"association of {_quoted(event.calling_ae_title)} ended: {escaped(event.ending)}"
        case InstanceStored() if event.status != 0:
            return _operation("C-STORE", event, event.outcome)
        case QueryAnswered() if event.has_failed:
            return _operation("C-FIND", event, event.comment)
        case RetrieveEnded() if event.has_failed:
            to = event.destination_ae_title
            return _operation(f"C-MOVE to {_quoted(to)}" if to else "C-GET", event, event.comment)
        case _:
            return None


def _operation(name: str, event: InstanceStored | QueryAnswered | RetrieveEnded, why: str) -> str:
    return f"{name} of {_quoted(event.calling_ae_title)}: 0x{event.status:04X} {escaped(why)}".rstrip()


def _quoted(ae_title: str) -> str:
    return f'"{escaped(ae_title)}"'


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
