"""A place for leases in memory, with a clock that tests move; it is a storage's and a machine's at once."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pacsnode.storage.lease import Holding, LeaseChanged, Reading


class Clocked:
    """Seconds that stand still until a test moves them."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


class MemoryLease:
    """The port over one holding. Several nodes of a test share it."""

    def __init__(self, clock: Clocked) -> None:
        self._clock = clock
        self._written: tuple[int, dict[str, str], float] | None = None
        self._count = 0
        self.trouble: Exception | None = None
        self.loses_answers = False
        self.writes = self.closed = 0

    def read(self) -> Reading:
        self._meet_trouble()
        now = datetime.fromtimestamp(self._clock(), UTC)
        if self._written is None:
            return Reading(now, None)
        version, fields, at = self._written
        return Reading(now, Holding(str(version), dict(fields), self._clock() - at))

    def write(self, fields: Mapping[str, str], *, over: Holding | None) -> Holding:
        self._meet_trouble()
        there = None if self._written is None else str(self._written[0])
        if there != (None if over is None else over.version):
            raise LeaseChanged("changed")
        self._count += 1
        self.writes += 1
        self._written = self._count, dict(fields), self._clock()
        if self.loses_answers:
            self._meet_trouble(anyway=True)
        return Holding(str(self._count), dict(fields), 0.0)

    def remove(self) -> None:
        self._written = None

    def close(self) -> None:
        self.closed += 1

    def _meet_trouble(self, *, anyway: bool = False) -> None:
        if self.trouble is not None and (anyway or not self.loses_answers):
            raise self.trouble
