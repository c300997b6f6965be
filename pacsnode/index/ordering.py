"""In which order the answers of a query come, and where a page of them begins. Pure.

PS3.4 leaves the order to the SCP. Workstations show what comes first, so that is what is newest:

- studies by `study.moment`, which is the date and time of a study as one text, and then by arrival;
- the series of one study by their number, the instances of one series by theirs;
- patients, and what several studies or series have below them, by arrival.

An order that a walk can follow is descending and has an index, or is that of the ids. Its last column is the
entity's id, so that no two positions are equal.
"""

from dataclasses import dataclass

from pacsnode.dicom.attributes import UNIQUE_KEY, Level
from pacsnode.dicom.query import Query, SingleValue
from pacsnode.index import schema
from pacsnode.index.fragments import Fragment, Parameter
from pacsnode.index.instants import day_ends

MAX_ID = (1 << 63) - 1
Position = tuple[Parameter, ...]

# Above every text and number, as BLOBs are: what has no number comes last.
_LAST = "x''"


@dataclass(frozen=True, slots=True)
class Order:
    """The SQL that answers are ordered by; none of it is ever NULL.

    Every answer of a walk lies in `end` <= position < `start`. An order that is not `walkable` is only for what was
    found by a key.
    """

    columns: tuple[str, ...]
    start: Position = (MAX_ID,)
    end: Position = (0,)
    index: str = ""
    is_walkable: bool = True
    is_narrow: bool = False  # a walk passes less than all

    @property
    def by(self) -> str:
        """The ORDER BY clause that an index serves."""
        return self._clause("")

    @property
    def sorted_by(self) -> str:
        """The ORDER BY clause that no index is to serve."""
        return self._clause("+")

    @property
    def can_change(self) -> bool:
        """Whether an entity may get another position: that of an id alone is its for good."""
        return len(self.columns) > 1

    def _clause(self, mark: str) -> str:
        direction = " DESC" if self.is_walkable else ""
        return " ORDER BY " + ", ".join(f"{mark}{column}{direction}" for column in self.columns)

    def window(self, *, before: Position, floor: Position) -> Fragment:
        """Return the condition that an entity lies in floor <= position < before."""
        marks = ", ".join("?" * len(self.columns))
        columns = ", ".join(self.columns)
        condition = f"({columns}) < ({marks}) AND ({columns}) >= ({marks})"
        return Fragment(condition, (*before, *floor))


def of(query: Query) -> Order:
    """Return the order of a query's answers."""
    name = schema.TABLES[query.level].name
    if query.level is Level.STUDY:
        return _by_moment(query)
    number = _NUMBERED.get(query.level)
    if number is not None and _names_one(query, Level(query.level - 1)):
        return Order((f"coalesce({number}, {_LAST})", f"{name}.id"), is_walkable=False)
    return Order((f"{name}.id",))


def _by_moment(query: Query) -> Order:
    """Return the order of studies, no longer than between the dates that are asked for."""
    asked = (
        day_ends(key.matching, query.timezone) for key in query.keys if key.attribute.keyword == "StudyDate"
    )
    ends = next(asked, None)
    low, high = ends or ("", "\U0010ffff")
    index = schema.INDEX_OF["StudyDate"]
    return Order(
        ("study.moment", "study.id"), start=(high, 0), end=(low, 0), index=index, is_narrow=ends is not None
    )


_NUMBERED = {Level.SERIES: "series.series_number", Level.IMAGE: "instance.instance_number"}


def _names_one(query: Query, level: Level) -> bool:
    """Return whether the query is about one entity of a level."""
    return any(
        key.attribute == UNIQUE_KEY[level] and isinstance(key.matching, SingleValue) for key in query.keys
    )
