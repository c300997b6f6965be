"""How a query is read: led by the key that leaves least, or by a walk over all. Pure.

SQLite does not know the distribution of the values (no ANALYZE: plans that change by themselves are a surprise), so
the choice is made here. Each key with an index gets a `probe`, which counts with the kept counts what lies below its
matches, at a cost bounded by `PROBE_LIMIT`. A walk follows the order of the answers and ends when the requester has
enough; a plan that is led by a key reads all that is below the key before it can sort, and answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pacsnode.dicom.attributes import Level
from pacsnode.index import schema
from pacsnode.index.fragments import Fragment
from pacsnode.index.leading import Driver

PROBE_LIMIT = 5000
SORTED_AT_ONCE = 2048  # rows that are read whole, sorted and answered from one statement
_WALK_ADVANTAGE = 8  # a row read in order costs less than one that is looked up, and the first comes at once


@dataclass(frozen=True, slots=True)
class Plan:
    """The key that leads and about how many entities are below it, or None for a walk."""

    driver: Driver | None
    below: int = 0

    @property
    def is_sorted_at_once(self) -> bool:
        """Whether what is below the key is read, sorted and answered by one statement."""
        return self.below <= SORTED_AT_ONCE


def probe(driver: Driver, level: Level) -> Fragment:
    """Return the statement for how many rows a driver leaves, and how many entities of the level are below them."""
    below = "1" if driver.level is level else schema.counting(driver.level, level)
    limit = "" if driver.is_unique else f" LIMIT {PROBE_LIMIT + 1}"
    if driver.ids is None:
        rows = (
            Fragment(f"SELECT {below} AS below FROM {driver.table} WHERE ")
            + driver.condition
            + Fragment(limit)
        )
    else:  # a row that is there twice counts twice
        found = Fragment(f"SELECT {below} AS below FROM (") + driver.ids + Fragment(f"{limit}) AS found")
        rows = found + Fragment(f" CROSS JOIN {driver.table} ON {driver.table}.id = found.id")
    return Fragment("SELECT count(*), coalesce(sum(below), 0) FROM (") + rows + Fragment(")")


def chosen(drivers: Sequence[Driver], probes: Sequence[tuple[int, int]], walk_rows: int | None) -> Plan:
    """Return the plan by the results of the probes, where a walk reads `walk_rows`, or is out of the question."""
    best = min(
        (
            (max(probe), at)
            for at, probe in enumerate(probes)
            if drivers[at].is_unique or probe[0] <= PROBE_LIMIT
        ),
        default=None,
    )
    if best is None or not (walk_rows is None or is_keyed_better(best[0], walk_rows)):
        return Plan(None)
    return Plan(drivers[best[1]], best[0])


def is_keyed_better(below: int, walk_rows: int) -> bool:
    """Return whether to read and sort what is below a key rather than to walk."""
    if walk_rows <= PROBE_LIMIT:
        return below <= walk_rows
    return below <= max(walk_rows // _WALK_ADVANTAGE, SORTED_AT_ONCE)
