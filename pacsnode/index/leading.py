"""The part of a key's condition that an index answers, which can lead a plan. Pure.

It may let more through than the key, whose own condition stands beside it:

- Patient ID and Accession Number are indexed without regard to the case of A to Z, so that one index serves both
  ways of matching them.
- A name is looked up by what its pattern begins with; the words of a name in `patient_word`.
- Dates of studies, alone or with their times, by `study.moment`.
"""

import json

from pacsnode.dicom import charset, temporal
from pacsnode.dicom.query import Key, Matching, Range, SingleValue, ValueList, Wildcard
from pacsnode.index import schema
from pacsnode.index.conditions import Fragment, after, column, condition

_HIGHEST = chr(0x10FFFF)
_NOCASE = frozenset({"PatientID", "AccessionNumber"})


def indexed_condition(key: Key) -> Fragment | None:
    """Return what the attribute's index (`schema.INDEX_OF`) answers of a key, or None if it can't lead."""
    attribute = key.attribute
    if attribute.vr == "UI":
        return condition(key)
    if attribute.keyword == "StudyDate":
        ends = moment_ends(key.matching)
        return Fragment("study.moment >= ? AND study.moment < ?", ends) if ends else None
    value = column(attribute)
    if schema.is_folded(attribute):
        return _prefixed(value, _name_beginning(key.matching))
    if attribute.keyword in _NOCASE:
        return _text(f"{value} COLLATE NOCASE", key.matching)
    return None


def _text(value: str, matching: Matching) -> Fragment | None:
    match matching:
        case SingleValue(wanted):
            return Fragment(f"{value} = ?", (wanted,))
        case ValueList(several):
            return Fragment(f"{value} IN (SELECT value FROM json_each(?))", (json.dumps(several),))
        case Wildcard(pattern):
            return _prefixed(value, _lowered(_beginning(pattern)))
        case _:
            return None


def _name_beginning(matching: Matching) -> str:
    """Return what all names begin with that match, folded."""
    match matching:
        case SingleValue(wanted):
            return charset.folded(wanted)
        case Wildcard(pattern):
            return _beginning(charset.folded_pattern(pattern))
        case _:
            return ""


def _beginning(pattern: str) -> str:
    return pattern.partition("*")[0].partition("?")[0]


def _lowered(text: str) -> str:
    """Return the text as COLLATE NOCASE compares it."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def _prefixed(value: str, prefix: str) -> Fragment | None:
    prefix = prefix.rstrip(_HIGHEST)
    return Fragment(f"{value} >= ? AND {value} < ?", (prefix, after(prefix))) if prefix else None


def moment_ends(matching: Matching) -> tuple[str, str] | None:
    """Return low and high of low <= `study.moment` < high for what a key says of dates, None if it says nothing."""
    match matching:
        case SingleValue(day) if temporal.date(day) == day:
            return day, after(day)
        case Range(low, high):
            first, last = low and temporal.date(low), high and temporal.date(high)
            return first or "0", after(last or "9")
        case _:
            return None
