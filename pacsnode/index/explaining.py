"""What becomes of a query: the SQL of each key, which plan was chosen and why, and what SQLite makes of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pacsnode.dicom.query import Key, Query
from pacsnode.index import conditions
from pacsnode.index.fragments import Fragment
from pacsnode.index.leading import drivers_of
from pacsnode.index.plans import Plan
from pacsnode.index.sql import Compiled

_SEVERAL = "the indexes of each of its values"


@dataclass(frozen=True, slots=True)
class ExplainedKey:
    """One key, its condition, and the index that it can be looked up by, if there is one."""

    key: Key
    condition: Fragment
    index: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A query as the index answers it. `steps` are SQLite's words, indented where one is part of another."""

    keys: tuple[ExplainedKey, ...]
    plan: str
    statement: Fragment
    steps: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield it as text, without the values."""
        for one in self.keys:
            yield f"{one.key.attribute.keyword}: {one.condition.sql}"
        yield f"plan: {self.plan}"
        yield f"SQL: {self.statement.sql}"
        yield from (f"step: {step}" for step in self.steps)


def explained(
    query: Query,
    compiled: Compiled,
    plan: Plan,
    statement: Fragment,
    rows: Sequence[tuple[int, int, int, str]],
) -> Explanation:
    """Return the explanation from the statement of the first page and SQLite's rows about it."""
    keys = tuple(_explained_key(key, query) for key in query.keys)
    return Explanation(keys, _words(compiled, plan), statement, tuple(_indented(rows)))


def _explained_key(key: Key, query: Query) -> ExplainedKey:
    drivers = drivers_of(key, query.timezone)
    index = next((driver.index or _SEVERAL for driver in drivers), "")
    return ExplainedKey(key, conditions.condition(key, query.timezone), index)


def _words(compiled: Compiled, plan: Plan) -> str:
    if plan.driver is None:
        along = compiled.order.index or "the ids, newest first"
        part = ", between the dates asked for" if compiled.order.is_narrow else ""
        return f"walk along {along}{part}"
    index = plan.driver.index or _SEVERAL
    read = "all in one statement" if plan.is_sorted_at_once else "sort their ids, then read page by page"
    return f"look up by {index}, which leaves about {plan.below} to read: {read}"


def _indented(rows: Sequence[tuple[int, int, int, str]]) -> Iterator[str]:
    depths = {0: 0}
    for number, parent, _, detail in rows:
        depths[number] = depths.get(parent, 0) + 1
        yield "  " * (depths[number] - 1) + detail
