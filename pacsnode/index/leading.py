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
from pacsnode.index.fragments import Fragment, after, in_texts, joined

_HIGHEST = chr(0x10FFFF)


@dataclass(frozen=True, slots=True)
class Driver:
    """A key that can lead a plan: its condition, and the table that it is looked up in.

    With an index the table's rows are found by that, without one by their ids, which another table gives.
    """

    level: Level
    index: str
    condition: Fragment
    is_unique: bool = False
    is_by_id: bool = False

    @property
    def table(self) -> str:
        """The leading table as it stands in FROM."""
        return schema.TABLES[self.level].name + (f" INDEXED BY {self.index}" if not self.is_by_id else "")


def driver_of(key: Key, timezone: int | None = None) -> Driver | None:
    """Return the driver of a key, or None if its attribute or its matching has no index."""
    attribute, index = key.attribute, schema.INDEX_OF.get(key.attribute.keyword, "")
    if not index or attribute.is_extra:
        return None
    if isinstance(key.matching, AnyOf):
        return _any_of([driver_of(replace(key, matching=one), timezone) for one in key.matching.matchings])
    if attribute.vr == "UI":
        is_listed = isinstance(key.matching, SingleValue | ValueList)
        return (
            Driver(attribute.level, index, conditions.condition(key), is_unique=True) if is_listed else None
        )
    if attribute.vr == "PN":
        found = _name(key.matching)
        return Driver(attribute.level, index, found, is_by_id=True) if found else None
    found = _moment(key.matching, timezone) if attribute.vr == "DA" else _text(attribute, key.matching)
    return Driver(attribute.level, index, found) if found else None


def _any_of(drivers: Sequence[Driver | None]) -> Driver | None:
    """Return the driver of a key with several values, each of which has to have one."""
    found = [driver for driver in drivers if driver is not None]
    if len(found) < len(drivers):
        return None
    ids = [Fragment(f"SELECT id FROM {one.table} WHERE ") + one.condition for one in found]
    listed = (
        Fragment(f"{schema.TABLES[found[0].level].name}.id IN (") + joined(ids, " UNION ALL ") + Fragment(")")
    )
    return Driver(found[0].level, "", listed, is_by_id=True)


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
            return _prefixed(value, _beginning(matching.without_case(pattern)))
        case _:
            return None


def _name(asked: Matching) -> Fragment | None:
    """Return the condition that a patient is one whose name has certain parts."""
    match asked:
        case Words(words):
            parts = [_part(_beginning(word)) for word in words]
            found = [part for part in parts if part is not None]
            return joined([_patient(part) for part in found], " AND ") if found else None
        case SingleValue(wanted) | Wildcard(wanted):
            begins = spellings.beginnings(wanted)
            return None if begins is None else _spelling(begins)
        case _:
            return None


def _spelling(begins: spellings.Beginnings) -> Fragment | None:
    name = _prefixed("patient_name_folded", begins.name)
    group = None if begins.group is None else _part(f"={begins.group}")
    if name is None or (begins.group is not None and group is None):
        return None
    ids = Fragment("SELECT id FROM patient INDEXED BY patient_by_name WHERE ") + name
    return _patient(ids if group is None else ids + Fragment(" UNION ALL ") + group)


def _patient(ids: Fragment) -> Fragment:
    return Fragment("patient.id IN (") + ids + Fragment(")")


def _part(beginning: str) -> Fragment | None:
    """Return the statement for the patients with a part of a name that begins so."""
    found = _prefixed("part", beginning)
    return None if found is None else Fragment("SELECT patient FROM patient_name_part WHERE ") + found


def _beginning(pattern: str) -> str:
    return pattern.partition("*")[0].partition("?")[0]


def _prefixed(value: str, prefix: str) -> Fragment | None:
    prefix = prefix.rstrip(_HIGHEST)
    return Fragment(f"{value} >= ? AND {value} < ?", (prefix, after(prefix))) if prefix else None
