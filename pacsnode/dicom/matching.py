"""Attribute matching (PS3.4 C.2.2.2) as an executable specification.

It says what a `Query` means, one record at a time and without regard for speed; the SQL of the index must
give the same answers, and a property test holds it to that. The rules:

- An attribute that is absent or empty matches only universally, that is where the query has no `Key` for it
  (C.2.2.2.3): every `Key` is false for it, a Wildcard or an open Range too.
- A multi-valued attribute matches when any one of its values does (C.2.2.2.1).
- Single Value Matching is case-sensitive equality of text (C.2.2.2.1), with two exceptions. IS, DS and US are
  compared as numbers (IEEE doubles; a DS has at most 16 characters, PS3.5 6.2); where one side is no number
  the texts are compared. A PN is folded (see below).
- List of UID Matching is Single Value Matching of any value in the list (C.2.2.2.2).
- In Wild Card Matching (C.2.2.2.4) `*` is any run of characters, the empty one too, and `?` exactly one;
  every other character is literal.
- In Range Matching (C.2.2.2.5) both ends are inclusive. A stored date is a day of the calendar. A stored time
  counts as its first instant, whatever its precision; the low end is its first instant, the high end its
  last. Stored text that is no date or time is in no range.
- Both sides of a PN are folded by `charset.folded`, patterns by `charset.folded_pattern` (case and accents,
  as C.2.2.2.1 permits). The key then matches the whole folded value or its first component group alone, the
  part before the first `=` (PS3.5 6.2.1: the groups are spellings of one name, and a requester that knows
  only the alphabetic one sends only that). A first group that is empty matches nothing on its own.
"""

from collections.abc import Mapping

from pacsnode.dicom import charset, temporal
from pacsnode.dicom.attributes import Attribute
from pacsnode.dicom.keys import NUMBER
from pacsnode.dicom.query import Key, Query, Range, SingleValue, ValueList, Wildcard
from pacsnode.dicom.visibility import Trait, Visibility

NUMERIC_VRS = frozenset({"IS", "DS", "US"})


def record_matches(query: Query, record: Mapping[str, str]) -> bool:
    """Return whether an entity, as keyword -> stored text, matches all keys (PS3.4 C.4.1.3.1)."""
    return all(matches(key, record.get(key.attribute.keyword)) for key in query.keys)


def matches(key: Key, value: str | None) -> bool:
    """Return whether the stored text of one attribute matches; several values are joined by a backslash."""
    if not value:
        return False
    values = value.split("\\") if key.attribute.multi_valued else [value]
    return any(one and _value_matches(key, one) for one in values)


def is_visible(visibility: Visibility | None, record: Mapping[str, str], sender: str) -> bool:
    """Return whether an instance, as keyword -> stored text of all its levels, is seen (`dicom.visibility`)."""
    return visibility is None or any(
        all(_holds(trait, record, sender) for trait in view.traits) for view in visibility
    )


def _holds(trait: Trait, record: Mapping[str, str], sender: str) -> bool:
    if trait.attribute is None:
        return sender in trait.values
    value = record.get(trait.attribute.keyword)
    return any(matches(key, value) for key in trait_keys(trait.attribute, trait.values))


def trait_keys(attribute: Attribute, values: tuple[str, ...]) -> tuple[Key, ...]:
    """Return the keys of which one must match for the values of a trait."""
    return tuple(
        Key(attribute, Wildcard(value) if set(value) & set("*?") else SingleValue(value)) for value in values
    )


def number(text: str) -> float | None:
    """Return the number that an IS, DS or US text stands for, or None (PS3.5 6.2)."""
    return float(text) if NUMBER.fullmatch(text) else None


def _value_matches(key: Key, value: str) -> bool:
    match key.matching:
        case SingleValue(wanted):
            return _equal(key.attribute, wanted, value)
        case ValueList(several):
            return any(_equal(key.attribute, wanted, value) for wanted in several)
        case Wildcard(pattern):
            return _like(key.attribute, pattern, value)
        case Range(low, high):
            return _within(key.attribute.vr, low, high, value)


def _equal(attribute: Attribute, wanted: str, value: str) -> bool:
    if attribute.vr == "PN":
        return charset.folded(wanted) in _spellings(value)
    if attribute.vr in NUMERIC_VRS:
        ours, theirs = number(value), number(wanted)
        if ours is not None and theirs is not None:
            return ours == theirs
    return wanted == value


def _like(attribute: Attribute, pattern: str, value: str) -> bool:
    if attribute.vr == "PN":
        folded = charset.folded_pattern(pattern)
        return any(wildcard_matches(folded, spelling) for spelling in _spellings(value))
    return wildcard_matches(pattern, value)


def _spellings(name: str) -> tuple[str, ...]:
    """Return the folded forms of a person name that a key is compared with."""
    folded = charset.folded(name)
    first = folded.partition("=")[0]
    return (folded, first) if first else (folded,)


def wildcard_matches(pattern: str, text: str) -> bool:
    """Return whether the pattern with `*` and `?` covers the whole text, in O(pattern x text) at worst."""
    at = in_pattern = retry_at = 0
    star = -1
    while at < len(text):
        char = pattern[in_pattern : in_pattern + 1]
        if char == "*":
            star, retry_at = in_pattern, at
            in_pattern += 1
        elif char and char in ("?", text[at]):
            at, in_pattern = at + 1, in_pattern + 1
        elif star >= 0:  # let the last star take one character more
            retry_at += 1
            at, in_pattern = retry_at, star + 1
        else:
            return False
    return not pattern[in_pattern:].strip("*")


def _within(vr: str, low: str | None, high: str | None, value: str) -> bool:
    first, last = _ends(vr, low)[0], _ends(vr, high)[1]
    instant = _ends(vr, value)[0]
    if instant is None:
        return False
    return (first is None or first <= instant) and (last is None or instant <= last)


def _ends(vr: str, text: str | None) -> tuple[int | None, int | None]:
    """Return the first and last instant of a date (in days' numbers) or a time (in microseconds)."""
    if text is None:
        return None, None
    if vr == "TM":
        return temporal.instants(text) or (None, None)
    day = temporal.date(text)
    return (int(day), int(day)) if day else (None, None)
