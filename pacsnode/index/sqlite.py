"""The index in SQLite: the port's methods over schema, sql, adding and the database.

A damaged file is found when it is opened as far as that is quick (header, length, and a full check up to
`CHECKED_BYTES`); `verify` reads all of it and may run behind a node that is up.
"""

import logging
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from pacsnode.database import LOCK_WAIT_SECONDS, Database, version_of
from pacsnode.database.header import refuse_damaged
from pacsnode.dicom.attributes import STANDARD, Catalogue, Level
from pacsnode.dicom.query import Query
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import ConfigError, PatientConflict, PermanentError
from pacsnode.index import ordering, plans, schema, sql
from pacsnode.index.adding import Additions
from pacsnode.index.answered import Answered
from pacsnode.index.base import Added, Arrival, Check, Located, Row
from pacsnode.index.explaining import Explanation, explained
from pacsnode.index.fragments import Fragment
from pacsnode.index.functions import FUNCTIONS
from pacsnode.index.identity import Person, are_in_conflict
from pacsnode.index.leading import Driver
from pacsnode.index.migrations import MIGRATIONS

log = logging.getLogger(__name__)

FIRST_PAGE_ROWS = 32
PAGE_ROWS = 256
CHECKED_BYTES = 32 << 20
_STORED_BATCH = 1000

_WAITING = f"""SELECT {sql.LOCATED} FROM spooled
    CROSS JOIN instance ON instance.id = spooled.instance {sql.UPWARDS}
    WHERE spooled.token > ? ORDER BY spooled.token LIMIT ?"""
_EVERYTHING = (
    f"SELECT {sql.LOCATED} FROM instance {sql.UPWARDS} WHERE instance.id > ? ORDER BY instance.id LIMIT ?"
)
_STATISTICS = f"""SELECT
    (SELECT count(*) FROM patient WHERE {schema.TABLES[Level.PATIENT].visible}),
    (SELECT count(*) FROM study WHERE {schema.TABLES[Level.STUDY].visible}),
    (SELECT count(*) FROM series WHERE {schema.TABLES[Level.SERIES].visible}),
    (SELECT coalesce(sum({schema.counting(Level.PATIENT, Level.IMAGE)}), 0) FROM patient),
    (SELECT count(*) FROM instance INDEXED BY instance_hidden WHERE NOT is_served),
    (SELECT count(*) FROM spooled)"""


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much the index holds; entities count if they are answered."""

    patients: int
    studies: int
    series: int
    instances: int
    versions_hidden: int
    waiting: int


class SqliteIndex:
    """`index.base.Index` in one SQLite file, which several processes may have open.

    Without a path it is a temporary one that goes with `close`. Raises `PermanentError` for a damaged file,
    `ConfigError` for a network file system or the schema of a newer program.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        readers: int = 4,
        wait_seconds: float = LOCK_WAIT_SECONDS,
        catalogue: Catalogue = STANDARD,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pacsnode-index-") if path is None else None
        self.path = path or Path(self._folder.name if self._folder else "", "index.db")
        self.catalogue = catalogue
        self._additions = Additions(catalogue)
        refuse_damaged(self.path)
        self._database = Database(
            self.path,
            MIGRATIONS,
            synchronous="NORMAL" if path else "OFF",
            readers=readers,
            wait_seconds=wait_seconds,
            forget=self._additions.forget,
            outdated=self._additions.outdated,
            functions=FUNCTIONS,
        )
        if self.path.stat().st_size <= CHECKED_BYTES:
            self._refuse_inconsistent()

    @classmethod
    def existing(cls, path: Path, *, catalogue: Catalogue = STANDARD) -> Self:
        """Open what a node keeps, to look into it: nothing is made and nothing migrated.

        Raises `ConfigError` where there is no index, or that of an older program.
        """
        if not path.is_file():
            raise ConfigError(f"there is no index {path}: a node makes it when it starts")
        version, newest = version_of(path), MIGRATIONS[-1].version
        if version < newest:
            raise ConfigError(
                f"{path} has schema version {version}, this program reads {newest}: "
                "a node migrates it when it starts"
            )
        return cls(path, catalogue=catalogue)

    def close(self) -> None:
        """Close the file; a commit in flight completes."""
        self._database.close()
        if self._folder is not None:
            self._folder.cleanup()

    def add(
        self, arrival: Arrival, policy: DuplicatePolicy, *, known_different: frozenset[int] = frozenset()
    ) -> Added:
        """See `Index.add`. `versions` are those that were kept before."""
        add = self._additions.add
        return self._database.write(lambda connection: add(connection, arrival, policy, known_different))

    def find(self, query: Query, *, check: Check | None = None) -> Iterator[Sequence[Row]]:
        """See `Index.find`. A page may be empty: a long walk without matches lets the caller look up."""
        compiled = sql.Compiled(query)
        newest = self._newest(compiled)
        plan = self._plan(compiled, newest)
        if log.isEnabledFor(logging.DEBUG):
            for line in self._explained(query, compiled, newest, plan).lines():
                log.debug("%s: %s", query.level.name, line)
        if plan.driver is None:
            yield from self._walked(compiled, newest, check)
        elif plan.is_sorted_at_once:
            yield from self._keyed(compiled, plan.driver, check)
        else:
            yield from self._sorted(compiled, plan.driver, check)

    def _walked(
        self, compiled: sql.Compiled, newest: int, check: Check | None = None
    ) -> Iterator[Sequence[Row]]:
        """Yield what is passed, each entity once although it may move (see `sql`); its id ends its position."""
        width = len(compiled.order.columns)
        if not compiled.order.can_change:
            for rows in self._passed(compiled, newest, check):
                yield [row[width:] for row in rows]
            return
        answered, arrived = Answered(newest), self._read(sql.NEWEST_INSTANCE)[0][0]
        for rows in self._passed(compiled, newest, check):
            yield [row[width:] for row in rows if answered.add(row[width - 1])]
        yield from self._moved(compiled, newest, arrived, answered, check)

    def _passed(
        self, compiled: sql.Compiled, newest: int, check: Check | None
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Yield pages of rows with their positions, in order."""
        width, limit = len(compiled.order.columns), FIRST_PAGE_ROWS
        for start, floor in self._windows(compiled, check):
            before: ordering.Position | None = start
            while before is not None:
                walked = compiled.walked(before=before, floor=floor, newest=newest, limit=limit)
                rows = self._read(walked, check)
                yield rows
                before, limit = rows[-1][:width] if len(rows) == limit else None, PAGE_ROWS

    def _moved(
        self, compiled: sql.Compiled, newest: int, arrived: int, answered: Answered, check: Check | None
    ) -> Iterator[Sequence[Row]]:
        """Yield the studies that were not answered and of which an instance has come after `arrived`."""
        last = self._read(sql.NEWEST_INSTANCE)[0][0]
        for after in range(arrived, last, sql.WINDOW_ROWS):
            until = min(after + sql.WINDOW_ROWS, last)
            found = self._read(sql.arrived_in(after=after, until=until, newest=newest), check)
            for page in _pages([study for (study,) in found if answered.add(study)]):
                yield self._read(compiled.these(page), check)

    def _windows(
        self, compiled: sql.Compiled, check: Check | None
    ) -> Iterator[tuple[ordering.Position, ordering.Position]]:
        """Yield the parts of a walk: where each begins and ends."""
        before, end = compiled.order.start, compiled.order.end
        while found := self._read(compiled.floor(before=before), check):
            yield before, found[0]
            before = found[0]
        yield before, end

    def _keyed(
        self, compiled: sql.Compiled, driver: Driver, check: Check | None = None
    ) -> Iterator[Sequence[Row]]:
        rows = self._read(compiled.keyed(driver), check)
        yield from _pages(rows)

    def _sorted(
        self, compiled: sql.Compiled, driver: Driver, check: Check | None = None
    ) -> Iterator[Sequence[Row]]:
        ids = array("q", (entity for (entity,) in self._read(compiled.ids(driver), check)))
        for page in _pages(ids):
            yield self._read(compiled.these(page), check)

    def count(self, query: Query, *, at_most: int, check: Check | None = None) -> int:
        """See `Index.count`."""
        compiled = sql.Compiled(query)
        newest = self._newest(compiled)
        driver = self._plan(compiled, newest).driver
        if driver is not None:
            return int(self._read(compiled.counted_below(driver, limit=at_most), check)[0][0])
        counted = 0
        for before, floor in self._windows(compiled, check):
            limit = at_most - counted
            statement = compiled.counted(before=before, floor=floor, newest=newest, limit=limit)
            counted += self._read(statement, check)[0][0]
            if counted >= at_most:
                break
        return counted

    def explain(self, query: Query) -> Explanation:
        """Return how the first page of `find` is looked for."""
        compiled = sql.Compiled(query)
        newest = self._newest(compiled)
        return self._explained(query, compiled, newest, self._plan(compiled, newest))

    def _explained(self, query: Query, compiled: sql.Compiled, newest: int, plan: plans.Plan) -> Explanation:
        order = compiled.order
        if plan.driver is None:
            statement = compiled.walked(
                before=order.start, floor=order.end, newest=newest, limit=FIRST_PAGE_ROWS
            )
        elif plan.is_sorted_at_once:
            statement = compiled.keyed(plan.driver)
        else:
            statement = compiled.ids(plan.driver)
        rows = self._read(Fragment("EXPLAIN QUERY PLAN ") + statement)
        return explained(query, compiled, plan, statement, rows)

    def locate(self, query: Query) -> list[Located]:
        """See `Index.locate`."""
        compiled = sql.Compiled(query)
        driver = self._plan(compiled, None).driver
        if query.level is Level.PATIENT:
            self._refuse_conflict(compiled, driver)
        return [Located(*row) for row in self._read(compiled.located(driver))]

    def _refuse_conflict(self, compiled: sql.Compiled, driver: Driver | None) -> None:
        patients: dict[str, list[tuple[str | None, Person]]] = {}
        for patient_id, issuer, *known in self._read(compiled.persons(driver)):
            if patient_id:
                patients.setdefault(patient_id, []).append((issuer, Person.of(*known)))
        if any(are_in_conflict(same) for same in patients.values()):
            raise PatientConflict("the Patient ID belongs to more than one person: retrieve by study")

    def waiting(self, *, after_token: int = 0, limit: int) -> list[Located]:
        """See `Index.waiting`. Versions that are not served wait too."""
        return [Located(*row) for row in self._database.read(_WAITING, (after_token, limit))]

    def mark_stored(self, instance_ids: Sequence[int]) -> None:
        """See `Index.mark_stored`. Each batch of 1,000 is atomic; an id that does not wait is left alone."""
        for at in range(0, len(instance_ids), _STORED_BATCH):
            batch = [(instance_id,) for instance_id in instance_ids[at : at + _STORED_BATCH]]
            self._database.write(
                lambda connection, batch=batch: connection.executemany(  # type: ignore[misc]
                    "DELETE FROM spooled WHERE instance = ?", batch
                )
            )

    def sync(self) -> bool:
        """See `Index.sync`. Readers hold nothing back: a WAL that they keep from moving is synced itself."""
        self._database.sync()
        return True

    def statistics(self) -> Statistics:
        """Return how much the index holds."""
        return Statistics(*self._database.read(_STATISTICS)[0])

    def everything(self, *, page: int = 1000) -> Iterator[Sequence[Located]]:
        """Yield pages of all kept versions, in the order of arrival, with those that come meanwhile."""
        after = 0
        while rows := self._database.read(_EVERYTHING, (after, page)):
            yield [Located(*row) for row in rows]
            after = rows[-1][0]

    def verify(self) -> list[str]:
        """Return what SQLite finds wrong with the file, reading all of it."""
        try:
            rows = self._database.read("PRAGMA quick_check")
        except PermanentError as error:
            return [str(error)]
        return [text for (text,) in rows if text != "ok"]

    def _refuse_inconsistent(self) -> None:
        found = ["not checked"]
        try:
            found = self.verify()
        finally:
            if found:
                self.close()
        if found:
            raise PermanentError(f"{self.path} is damaged: {found[0].splitlines()[0]}")

    def _newest(self, compiled: sql.Compiled) -> int:
        newest: int = self._read(compiled.newest())[0][0]
        return newest

    def _plan(self, compiled: sql.Compiled, newest: int | None) -> plans.Plan:
        """Return the plan, where a walk passes up to `newest` rows, or is only taken if there is no other."""
        probes = [self._read(plans.probe(driver, compiled.level))[0] for driver in compiled.drivers]
        walk_rows = newest if compiled.order.is_walkable else None
        if walk_rows and compiled.order.is_narrow and probes:
            passed = self._read(compiled.walk_probe())[0][0]
            walk_rows = passed if passed <= plans.PROBE_LIMIT else walk_rows
        return plans.chosen(compiled.drivers, probes, walk_rows)

    def _read(self, statement: Fragment, check: Check | None = None) -> list[Any]:
        if check is not None:
            check()
        return self._database.read(statement.sql, statement.parameters, check=check)


def _pages(rows: "Sequence[Any]") -> Iterator[Sequence[Any]]:
    """Yield what was found in pages, of which the first is small."""
    ends = [0, *range(FIRST_PAGE_ROWS, len(rows), PAGE_ROWS), len(rows)]
    for start, end in pairwise(ends):
        if start < end:
            yield rows[start:end]
