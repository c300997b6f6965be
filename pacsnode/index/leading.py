"""The part of a key's condition that an index answers, which can lead a plan. Pure.

It may let more through than the key, whose own condition stands beside it:

- Patient ID and Accession Number are looked up without regard to case, so that one index serves both ways of
  matching them (`lookups`).
- A name is looked up by what it begins with, and so are its other component groups and its words, in a table of
  these (`patient_name_part`).
- Dates of studies, alone or with their times, are looked up by `study.moment`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pacsnode.dicom import matching
from pacsnode.dicom.attributes import Attribute, Level
from pacsnode.dicom.query import AnyOf, Key, Matching, SingleValue, ValueList, Wildcard, Words
from pacsnode.index import conditions, instants, lookups, schema, spellings
from pacsnode.index.fragments import Fragment, after, beginning, in_texts, joined

_HIGHEST = chr(0x10FFFF)
_PARTS = "patient_name_part"
_BY_NAME = schema.INDEX_OF["PatientName"]


@dataclass(frozen=True, slots=True)
class Driver:
    """A key that can lead a plan: its condition, and the table that it is looked up in.

    `ids` is a statement for the ids of the rows, where another table or more than one look into an index gives them,
    some maybe twice; `index` is then what is looked into, in words. Else the table is looked into by its `index`.
    """

    level: Level
    index: str
    condition: Fragment
    is_unique: bool = False
    ids: Fragment | None = None

    @property
    def table(self) -> str:
        """The leading table as it stands in FROM."""
        return schema.TABLES[self.level].name + ("" if self.ids else f" INDEXED BY {self.index}")

    @property
    def all_ids(self) -> Fragment:
        """The statement for the ids of the rows."""
        return self.ids or Fragment(f"SELECT id FROM {self.table} WHERE ") + self.condition


def drivers_of(key: Key, timezone: int | None = None) -> tuple[Driver, ...]:
    """Return the drivers of a key, of which each may lead; none if its attribute or its matching has no index."""
    attribute, asked, index = key.attribute, key.matching, schema.INDEX_OF.get(key.attribute.keyword, "")
    if not index or attribute.is_extra:
        return ()
    if isinstance(asked, AnyOf):
        return _any_of(
            attribute.level, [drivers_of(replace(key, matching=one), timezone) for one in asked.matchings]
        )
    if attribute.vr == "PN":
        return tuple(_by_ids(attribute.level, place, ids) for place, ids in _names(asked))
    if attribute.vr == "UI":
        found = conditions.condition(key) if isinstance(asked, SingleValue | ValueList) else None
    else:
        found = _moment(asked, timezone) if attribute.vr == "DA" else _text(attribute, asked)
    return (Driver(attribute.level, index, found, is_unique=attribute.vr == "UI"),) if found else ()


def _by_ids(level: Level, index: str, ids: Fragment) -> Driver:
    listed = Fragment(f"{schema.TABLES[level].name}.id IN (") + ids + Fragment(")")
    return Driver(level, index, listed, ids=ids)


def _any_of(level: Level, drivers: Sequence[tuple[Driver, ...]]) -> tuple[Driver, ...]:
    """Return the driver of a key with several values, each of which has to have one."""
    if not all(drivers):
        return ()
    return (_by_ids(level, "", joined([one[0].all_ids for one in drivers], " UNION ALL ")),)


def _moment(asked: Matching, timezone: int | None) -> Fragment | None:
    ends = instants.day_ends(asked, timezone)
    return Fragment("study.moment >= ? AND study.moment < ?", ends) if ends else None


def _text(attribute: Attribute, asked: Matching) -> Fragment | None:
    value = f"{schema.TABLES[attribute.level].name}.{lookups.caseless(attribute)}"
    match asked:
        case SingleValue(wanted):
            return Fragment(f"{value} = ?", (matching.without_case(wanted),))
        case ValueList(several):
            return in_texts(value, [matching.without_case(one) for one in several])
        case Wildcard(pattern):
            return _prefixed(value, beginning(matching.without_case(pattern)))
        case _:
            return None


def _names(asked: Matching) -> list[tuple[str, Fragment]]:
    """Return statements for patients whose name has certain parts, each behind the place that it looks into.

    Each has all patients that match.
    """
    match asked:
        case Words(words):
            parts = [_part(beginning(word)) for word in words]
            return [(_PARTS, ids) for ids in parts if ids is not None]
        case SingleValue(wanted) | Wildcard(wanted):
            begins = spellings.beginnings(wanted)
            if begins is None or (ids := _spelling(begins)) is None:
                return []
            return [(_BY_NAME if begins.group is None else f"{_BY_NAME} and {_PARTS}", ids)]
        case _:
            return []


def _spelling(begins: spellings.Beginnings) -> Fragment | None:
    name = _prefixed("patient_name_folded", begins.name)
    group = None if begins.group is None else _part(f"={begins.group}")
    if name is None or (begins.group is not None and group is None):
        return None
    ids = Fragment(f"SELECT id FROM patient INDEXED BY {_BY_NAME} WHERE ") + name
    return ids if group is None else ids + Fragment(" UNION ALL ") + group


def _part(begins: str) -> Fragment | None:
    """Return the statement for the patients with a part of a name that begins so."""
    found = _prefixed("part", begins)
    return None if found is None else Fragment(f"SELECT patient AS id FROM {_PARTS} WHERE ") + found


def _prefixed(value: str, prefix: str) -> Fragment | None:
    prefix = prefix.rstrip(_HIGHEST)
    return Fragment(f"{value} >= ? AND {value} < ?", (prefix, after(prefix))) if prefix else None
