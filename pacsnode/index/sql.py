"""A query as SQL: how it is read, page by page. Pure.

**Two plans.** `keyed` starts from one key that has an index, reads everything below it and sorts; `walked`
runs down a table by id, the newest first, and filters. Keyed is right for few matches and quadratic for
many, since each page reads and sorts all again; walked is one pass whatever matches, but a pass over the
table. SQLite does not know the distribution of the values (no ANALYZE: plans that change by themselves are a
surprise), so the choice is made here: each key with an index gets a `probe`, which counts with the kept
counts what lies below its matches, at a cost bounded by `PROBE_LIMIT`; sqlite.py then compares what the
plans would read.

**The plans are forced.** CROSS JOIN keeps the order of the tables, INDEXED BY the index of the first, and
`+id` in ORDER BY keeps SQLite from running down ids where a key is to be used. Where the statement does not
fit the schema it fails in the tests instead of being slow in the field.

**Pages.** The next page begins below the last id (keyset), so no transaction stays open. A walk is cut into
windows of ids, so that a query without matches comes up for air (C-CANCEL).

Keys above the level are joined upwards, with or without unique keys (PS3.4 C.4.1.2.2.1, relational queries).

**What the requester may see** is one more condition of each statement but the probes, which only choose a plan
(`visible.py`). It may look at all that lies below an entity, so the windows of a walk are smaller with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import Key, Query
from pacsnode.errors import InvalidIdentifier
from pacsnode.index import schema, visible
from pacsnode.index.conditions import Fragment, condition, indexed_condition, joined

PROBE_LIMIT = 2000
CHUNK_ROWS = 2048
WINDOW_IDS = 20_000
LIMITED_WINDOW_IDS = 200  # a study may have thousands of instances to look at

# The columns of `index.base.Located`, in its order.
LOCATED = ", ".join(
    (
        "instance.id",
        schema.uid_text("study.study_instance_uid"),
        schema.uid_text("series.series_instance_uid"),
        schema.uid_text("instance.sop_instance_uid"),
        "(SELECT uid FROM sop_class WHERE sop_class.id = instance.sop_class)",
        "(SELECT uid FROM transfer_syntax WHERE transfer_syntax.id = instance.transfer_syntax)",
        "instance.version",
        "(SELECT token FROM spooled WHERE spooled.instance = instance.id)",
        "instance.file_length",
        "instance.file_crc32c & 0xffffffff",
        "instance.file_length - instance.file_meta_length",
        "instance.data_set_crc32c & 0xffffffff",
    )
)
UPWARDS = "CROSS JOIN series ON series.id = instance.series CROSS JOIN study ON study.id = series.study"


@dataclass(frozen=True, slots=True)
class Driver:
    """A key whose index can lead a plan."""

    level: Level
    index: str
    condition: Fragment
    is_unique: bool


class Compiled:
    """The statements of one query. Rows begin with the entity's id, then come those of `index.base.Row`.

    Raises `InvalidIdentifier` for a key below the level, `InvalidUID` for one that is no UID.
    """

    def __init__(self, query: Query) -> None:
        below = [key.attribute.tag for key in query.keys if key.attribute.level > query.level]
        if below:
            raise InvalidIdentifier("a key lies below the query's level", offending=tuple(below))
        self.level = query.level
        self.drivers = tuple(driver for driver in map(_driver, query.keys) if driver is not None)
        self.window_ids = WINDOW_IDS if query.visibility is None else LIMITED_WINDOW_IDS
        self._name = schema.TABLES[query.level].name
        self._visibility = query.visibility
        self._conditions = [condition(key) for key in query.keys]
        self._key_levels = {key.attribute.level for key in query.keys}
        self._levels = self._key_levels | {attribute.level for attribute in query.returned}
        character_set = (
            f"(SELECT name FROM character_set WHERE character_set.id = {self._name}.character_set)"
        )
        self._row = ", ".join([f"{self._name}.id", *map(schema.text, query.returned), character_set])

    def newest(self) -> Fragment:
        """Return the statement for the highest id of the level's table."""
        return Fragment(f"SELECT coalesce(max(id), 0) FROM {self._name}")

    def probe(self, driver: Driver) -> Fragment:
        """Return the statement for how many rows a key leaves, and how many entities are below them."""
        table = schema.TABLES[driver.level]
        below = "1" if driver.level is self.level else schema.counting(driver.level, self.level)
        limit = "" if driver.is_unique else f" LIMIT {PROBE_LIMIT + 1}"
        rows = Fragment(f"SELECT {below} AS below FROM {table.name} INDEXED BY {driver.index} WHERE ")
        return (
            Fragment("SELECT count(*), coalesce(sum(below), 0) FROM (")
            + rows
            + driver.condition
            + Fragment(f"{limit})")
        )

    def keyed(self, driver: Driver, *, before: int, limit: int) -> Fragment:
        """Return the statement for the `limit` newest entities below id `before`, led by a key."""
        end = Fragment(f" AND {self._name}.id < ? ORDER BY +{self._name}.id DESC LIMIT ?", (before, limit))
        return self._selected(self._row, driver, self._levels) + end

    def walked(self, *, before: int, floor: int, limit: int) -> Fragment:
        """Return the statement for the `limit` newest entities in floor <= id < before."""
        window = f" AND {self._name}.id < ? AND {self._name}.id >= ? ORDER BY {self._name}.id DESC LIMIT ?"
        return self._selected(self._row, None, self._levels) + Fragment(window, (before, floor, limit))

    def counted(self, driver: Driver | None, *, before: int, floor: int, limit: int) -> Fragment:
        """Return the statement that counts entities in floor <= id < before, no further than `limit`."""
        window = f" AND {self._name}.id < ? AND {self._name}.id >= ? LIMIT ?)"
        counted = Fragment("SELECT count(*) FROM (") + self._selected("1", driver, self._key_levels)
        return counted + Fragment(window, (before, floor, limit))

    def located(self, driver: Driver | None) -> Fragment:
        """Return the statement for the instances below the entities, as columns of `LOCATED`."""
        levels = self._key_levels | {Level.STUDY}
        order = " ORDER BY study.id, series.series_number, series.id, instance.instance_number, instance.id"
        return self._selected(LOCATED, driver, levels, bottom=Level.IMAGE) + Fragment(order)

    def persons(self, driver: Driver | None) -> Fragment:
        """Return the statement for the patients: Patient ID, issuer, name, birth date, sex."""
        columns = "patient_id, issuer_of_patient_id, patient_name, patient_birth_date, patient_sex"
        return self._selected(columns, driver, {Level.PATIENT}, bottom=Level.PATIENT)

    def _selected(
        self, columns: str, driver: Driver | None, levels: set[Level], *, bottom: Level | None = None
    ) -> Fragment:
        bottom = self.level if bottom is None else bottom
        leading = [] if driver is None else [driver.condition]
        conditions = [*leading, Fragment(schema.TABLES[bottom].visible), *self._conditions]
        if self._visibility is not None:
            levels = levels | visible.levels(self._visibility, bottom)
            conditions.append(visible.condition(self._visibility, bottom))
        tables = _tables(driver, self.level, bottom, levels)
        return Fragment(f"SELECT {columns} FROM {tables} WHERE ") + joined(conditions, " AND ")


def _tables(driver: Driver | None, level: Level, bottom: Level, levels: set[Level]) -> str:
    """Return the FROM clause: the leading table, those below down to `bottom`, those above if needed."""
    start = driver.level if driver else level
    leading = schema.TABLES[start]
    clause = leading.name + (f" INDEXED BY {driver.index}" if driver else "")
    for child in (schema.TABLES[Level(below)] for below in range(start + 1, bottom + 1)):
        clause += f" CROSS JOIN {child.name} ON {child.name}.{child.parent} = {child.parent}.id"
    for above in range(start - 1, min(levels, default=start) - 1, -1):
        parent, child = schema.TABLES[Level(above)], schema.TABLES[Level(above + 1)]
        clause += f" CROSS JOIN {parent.name} ON {parent.name}.id = {child.name}.{child.parent}"
    return clause


def _driver(key: Key) -> Driver | None:
    index = schema.INDEX_OF.get(key.attribute.keyword)
    leading = indexed_condition(key) if index else None
    if index is None or leading is None:
        return None
    return Driver(key.attribute.level, index, leading, is_unique=key.attribute.vr == "UI")


def is_keyed_better(below: int, newest_id: int) -> bool:
    """Return whether reading `below` rows for each chunk reads less than one walk over the table."""
    chunks = -(-below // CHUNK_ROWS)
    return below * chunks <= max(newest_id, CHUNK_ROWS)


def chosen(drivers: Sequence[Driver], probes: Sequence[tuple[int, int]], newest_id: int) -> Driver | None:
    """Return the driver of the plan by the results of the probes, or None to walk."""
    best = min(
        (
            (max(probe), at)
            for at, probe in enumerate(probes)
            if drivers[at].is_unique or probe[0] <= PROBE_LIMIT
        ),
        default=None,
    )
    return drivers[best[1]] if best and is_keyed_better(best[0], newest_id) else None
