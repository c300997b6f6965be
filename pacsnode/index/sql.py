"""A query as SQL: how it is read, page by page. Pure.

**Two plans.** `keyed` starts from one key that has an index and sorts what is below it; `walked` follows the order of
the answers (`ordering`), by an index or by id, and filters. `plans` chooses. What is below a key and is little is read
at once; of more than that the ids are read and sorted (`ids`), and then the rows of a page by their ids (`these`), so
that each row is read once and no page waits for a second sort.

**The plans are forced.** CROSS JOIN keeps the order of the tables, INDEXED BY the index of the first, and a plus in
ORDER BY keeps SQLite from running down ids where a key is to be used. Where the statement does not fit the schema it
fails in the tests instead of being slow in the field.

**Pages.** The next page begins behind the last position (keyset), so no transaction stays open. A walk is cut into
windows, so that no statement holds a transaction for long; what arrives meanwhile is not answered.

**Studies move.** The position of a study changes with its date and time: an image may bring the date that was missing,
or the only image may come again with another one. A walk that has to answer each study once remembers which it has
answered (`answered`), and skips one that it meets again. One that moved ahead of the walk, to a position that was
passed, is found by a second look when the walk has ended. A study learns only in the transaction that adds a row to
`instance`, so the studies that may have moved are those of the instances above the highest id when the walk began
(`arrived_in`). That costs as much as has arrived meanwhile, mostly nothing, and needs no column or index that each
store would have to keep. Whatever changes a study otherwise has to be found here, too.

Keys above the level are joined upwards, with or without unique keys (PS3.4 C.4.1.2.2.1, relational queries).

**What the requester may see** is one more condition of each statement but the probes, which only choose a plan
(`visible.py`). It may look at all that lies below an entity, so the windows of a walk are smaller with it.
"""

import json
from collections.abc import Sequence

from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import Query
from pacsnode.errors import InvalidIdentifier
from pacsnode.index import conditions, ordering, schema, visible
from pacsnode.index.fragments import Fragment, joined
from pacsnode.index.leading import Driver, drivers_of
from pacsnode.index.ordering import Position
from pacsnode.index.plans import PROBE_LIMIT

WINDOW_ROWS = 20_000
LIMITED_WINDOW_ROWS = 200  # a study may have thousands of instances to look at

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


def _newest(table: str) -> Fragment:
    return Fragment(f"SELECT coalesce(max(id), 0) FROM {table}")


NEWEST_INSTANCE = _newest("instance")


def arrived_in(*, after: int, until: int, newest: int) -> Fragment:
    """Return the statement for the studies up to `newest` of the instances in after < id <= until."""
    joined_to = "FROM instance CROSS JOIN series ON series.id = instance.series"
    condition = "instance.id > ? AND instance.id <= ? AND series.study <= ?"
    return Fragment(f"SELECT DISTINCT series.study {joined_to} WHERE {condition}", (after, until, newest))


class Compiled:
    """The statements of one query. Rows are those of `index.base.Row`; in a walk their position stands before them.

    Raises `InvalidIdentifier` for a key below the level, `InvalidUID` for one that is no UID.
    """

    def __init__(self, query: Query) -> None:
        below = [key.attribute.tag for key in query.keys if key.attribute.level > query.level]
        if below:
            raise InvalidIdentifier("a key lies below the query's level", offending=tuple(below))
        self.level = query.level
        self.order = ordering.of(query)
        drivers = (one for key in query.keys for one in drivers_of(key, query.timezone))
        self.drivers = tuple(one for one in drivers if not one.index or one.index != self.order.index)
        self.window_rows = WINDOW_ROWS if query.visibility is None else LIMITED_WINDOW_ROWS
        self._name = schema.TABLES[query.level].name
        self._visibility = query.visibility
        self._conditions = [conditions.condition(key, query.timezone) for key in query.keys]
        self._key_levels = {level for key in query.keys for level in conditions.levels(key, query.timezone)}
        self._levels = self._key_levels | {attribute.level for attribute in query.returned}
        character_set = (
            f"(SELECT name FROM character_set WHERE character_set.id = {self._name}.character_set)"
        )
        self._row = ", ".join([*map(schema.text, query.returned), character_set])
        self._position = ", ".join(self.order.columns)
        self._walk = self._name + (f" INDEXED BY {self.order.index}" if self.order.index else "")

    def newest(self) -> Fragment:
        """Return the statement for the highest id of the level's table."""
        return _newest(self._name)

    def walk_probe(self) -> Fragment:
        """Return the statement for how many rows a walk passes, no further than beyond `PROBE_LIMIT`."""
        window = self.order.window(before=self.order.start, floor=self.order.end)
        rows = Fragment(f"SELECT 1 FROM {self._walk} WHERE ") + window + Fragment(f" LIMIT {PROBE_LIMIT + 1}")
        return Fragment("SELECT count(*) FROM (") + rows + Fragment(")")

    def keyed(self, driver: Driver) -> Fragment:
        """Return the statement for all entities, in order, led by a key."""
        return self._selected(self._row, driver, self._levels) + Fragment(self.order.sorted_by)

    def ids(self, driver: Driver) -> Fragment:
        """Return the statement for the ids of all entities, in order, led by a key."""
        selected = self._selected(f"{self._name}.id", driver, self._key_levels)
        return selected + Fragment(self.order.sorted_by)

    def these(self, ids: Sequence[int]) -> Fragment:
        """Return the statement for the entities with these ids, in this order, as far as they still match."""
        listed = Fragment("json_each(?) AS page", (json.dumps(list(ids)),))
        leading = listed + Fragment(f" CROSS JOIN {self._name} ON {self._name}.id = page.value")
        return self._selected(self._row, None, self._levels, leading=leading) + Fragment(" ORDER BY page.key")

    def floor(self, *, before: Position) -> Fragment:
        """Return the statement for the position where the window ends that begins at `before`."""
        window = self.order.window(before=before, floor=self.order.end)
        ending = Fragment(f"{self.order.by} LIMIT 1 OFFSET ?", (self.window_rows - 1,))
        return Fragment(f"SELECT {self._position} FROM {self._walk} WHERE ") + window + ending

    def walked(self, *, before: Position, floor: Position, newest: int, limit: int) -> Fragment:
        """Return the statement for the first `limit` entities in floor <= position < before."""
        columns = f"{self._position}, {self._row}"
        return self._window(columns, self._levels, before, floor, newest) + Fragment(
            f"{self.order.by} LIMIT ?", (limit,)
        )

    def counted(self, *, before: Position, floor: Position, newest: int, limit: int) -> Fragment:
        """Return the statement that counts entities in floor <= position < before, no further than `limit`."""
        return _counted(self._window("1", self._key_levels, before, floor, newest), limit)

    def counted_below(self, driver: Driver, *, limit: int) -> Fragment:
        """Return the statement that counts entities, no further than `limit`, led by a key."""
        return _counted(self._selected("1", driver, self._key_levels), limit)

    def located(self, driver: Driver | None) -> Fragment:
        """Return the statement for the instances below the entities, as columns of `LOCATED`."""
        levels = self._key_levels | {Level.STUDY}
        order = " ORDER BY study.id, series.series_number, series.id, instance.instance_number, instance.id"
        return self._selected(LOCATED, driver, levels, bottom=Level.IMAGE) + Fragment(order)

    def persons(self, driver: Driver | None) -> Fragment:
        """Return the statement for the patients: Patient ID, issuer, name, birth date, sex."""
        columns = "patient_id, issuer_of_patient_id, patient_name, patient_birth_date, patient_sex"
        return self._selected(columns, driver, {Level.PATIENT}, bottom=Level.PATIENT)

    def _window(
        self, columns: str, levels: set[Level], before: Position, floor: Position, newest: int
    ) -> Fragment:
        selected = self._selected(columns, None, levels, leading=Fragment(self._walk))
        there_at_first = Fragment(f" AND +{self._name}.id <= ?", (newest,))
        return selected + Fragment(" AND ") + self.order.window(before=before, floor=floor) + there_at_first

    def _selected(
        self,
        columns: str,
        driver: Driver | None,
        levels: set[Level],
        *,
        bottom: Level | None = None,
        leading: Fragment | None = None,
    ) -> Fragment:
        bottom = self.level if bottom is None else bottom
        held = [Fragment(schema.TABLES[bottom].visible), *self._conditions]
        if driver is not None:
            held.insert(0, driver.condition)
        if self._visibility is not None:
            levels = levels | visible.levels(self._visibility, bottom)
            held.append(visible.condition(self._visibility, bottom))
        start = driver.level if driver else self.level
        first = leading or Fragment(driver.table if driver else self._name)
        tables = Fragment(f"SELECT {columns} FROM ") + first + Fragment(_joins(start, bottom, levels))
        return tables + Fragment(" WHERE ") + joined(held, " AND ")


def _counted(rows: Fragment, limit: int) -> Fragment:
    return Fragment("SELECT count(*) FROM (") + rows + Fragment(" LIMIT ?)", (limit,))


def _joins(start: Level, bottom: Level, levels: set[Level]) -> str:
    """Return what follows the leading table: those below down to `bottom`, those above if needed."""
    clause = ""
    for child in (schema.TABLES[Level(below)] for below in range(start + 1, bottom + 1)):
        clause += f" CROSS JOIN {child.name} ON {child.name}.{child.parent} = {child.parent}.id"
    for above in range(start - 1, min(levels, default=start) - 1, -1):
        parent, child = schema.TABLES[Level(above)], schema.TABLES[Level(above + 1)]
        clause += f" CROSS JOIN {parent.name} ON {parent.name}.id = {child.name}.{child.parent}"
    return clause
