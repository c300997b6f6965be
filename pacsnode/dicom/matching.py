"""Attribute matching (PS3.4 C.2.2.2) as an executable specification.

It says what a `Query` means, one record at a time and without regard for speed; the SQL of the index must
give the same answers, and a property test holds it to that. What a key asks for is decided before
(`keys`, `identifier`). The rules:

- An attribute that is absent or empty matches only universally, that is where the query has no `Key` for it
  (C.2.2.2.3), and by Empty Value Matching (C.2.2.2.7): each other `Key` is false for it, a Wildcard or an open
  Range too.
- A multi-valued attribute matches when any one of its values does (C.2.2.3), and all are answered.
- Single Value Matching is case-sensitive equality of text (C.2.2.2.1), in which zeros and spaces within count:
  `007` is not `7` in an LO or SH. Exceptions: IS, DS and binary numbers are compared as numbers (IEEE doubles; a DS
  has at most 16 characters, PS3.5 6.2; the choice is left by C.2.2.2.1.4), and where one side is no number
  the texts are. A PN is folded (see below). Keys without `match_case`, a choice of the node's administrator,
  ignore case in the VRs of `keys.CASE_VRS`.
- List of UID Matching is Single Value Matching of any value in the list (C.2.2.2.2), and so are several values
  of other keys (C.2.2.2.8, note 4), which may be patterns and ranges as well (`AnyOf`).
- Multiple Value Matching as negotiated is `AllOf`: each value that is asked for matches some value of the
  attribute, which may have more (C.2.2.2.8).
- In Wild Card Matching (C.2.2.2.4) `*` is any run of characters, the empty one too, and `?` exactly one;
  every other character is literal.
- In Range Matching (C.2.2.2.5.1 to C.2.2.2.5.3) both ends are inclusive. A stored date is a day of the calendar.
  A stored time counts as its first instant, whatever its precision, and so does a DT; the low end is its first
  instant, the high end its last. A DT that names no offset is in UTC (C.2.2.2.1.3, note 1). Stored text that is
  no date or time is in no range.
- A date and its time, asked for together (`Moments`, C.2.2.2.5.4), count as one DT: without a time the day's
  first instant. With a time that is none they are in no range.
- In Sequence Matching (C.2.2.2.6) all keys of the item match for the same one of the stored items. Items that match
  are answered, others are not.
- Both sides of a PN are folded by `charset.folded`, patterns by `charset.folded_pattern` (case, as C.2.2.2.1.1
  permits). Its component groups are spellings of one name (PS3.5 6.2.1.2). A key without `=` matches the whole value or
  any one of its groups; one with `=` the whole value, or each group that it gives the group in that place. Empty
  components at the end of a group say nothing, so that `SMITH^*` matches `SMITH`. An empty group matches nothing
  on its own.
- In fuzzy matching of a PN, as negotiated, each word of the key begins some word of the name (`names`).
- With time zone query adjustment negotiated, stored dates and times are brought into the requester's zone
  first (`zones`).
"""

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace

from pacsnode.dicom import charset, names, temporal, zones
from pacsnode.dicom.attributes import TIME_OF, Attribute
from pacsnode.dicom.keys import NUMBER
from pacsnode.dicom.query import (
    AllOf,
    AnyOf,
    Empty,
    Items,
    Key,
    Moments,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)
from pacsnode.dicom.visibility import Trait, Visibility

NUMERIC_VRS = frozenset({"IS", "DS", "US", "UL", "UV", "SS", "SL", "SV", "FL", "FD"})

Item = Mapping[str, object]  # keyword -> text, or the items of a sequence within


def record_matches(query: Query, record: Mapping[str, str]) -> bool:
    """Return whether an entity, as keyword -> stored text, matches all keys (PS3.4 C.4.1.3.1).

    The record has the attributes of all levels; the zones of the levels stand under `zones.zone_keyword`.
    """
    return all(_matches_in(key, record, query.timezone) for key in query.keys)


def _matches_in(key: Key, record: Mapping[str, str], timezone: int | None) -> bool:
    if isinstance(key.matching, Moments):
        return _is_between(key.attribute, key.matching, record, timezone)
    return matches(key, zones.local(key.attribute, record, timezone))


def matches(key: Key, value: object) -> bool:
    """Return whether the stored text of one attribute matches.

    Several values are joined by a backslash; the items of a sequence are JSON text, or what it stands for. A
    key about a date together with its time needs the whole record.
    """
    match key.matching:
        case Empty():
            return not value
        case AnyOf(several):
            return any(matches(replace(key, matching=one), value) for one in several)
        case AllOf(several):
            return all(matches(replace(key, matching=one), value) for one in several)
        case Items(keys):
            return any(_item_matches(keys, item) for item in items_of(value))
    if not value or not isinstance(value, str):
        return False
    values = value.split("\\") if key.attribute.multi_valued else [value]
    return any(one and _value_matches(key, one) for one in values)


def items_of(value: object) -> list[Item]:
    """Return the items of a sequence from its JSON text, none if there is none."""
    found = json.loads(value) if isinstance(value, str) and value else value
    return found if isinstance(found, list) else []


def matching_items(query: Query, attribute: Attribute, value: object) -> list[Item]:
    """Return the items of a sequence to answer with: those that match, all where none is asked for (C.2.2.2.6)."""
    asked = [key.matching for key in query.keys if key.attribute.tag == attribute.tag]
    keys = [key for matching in asked if isinstance(matching, Items) for key in matching.keys]
    return [item for item in items_of(value) if _item_matches(tuple(keys), item)]


def _item_matches(keys: tuple[Key, ...], item: Item) -> bool:
    return all(matches(key, item.get(key.attribute.keyword)) for key in keys)


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


def without_case(text: str) -> str:
    """Return text as it is compared without regard to case. Idempotent."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _value_matches(key: Key, value: str) -> bool:
    match key.matching:
        case SingleValue(wanted):
            return _equal(key, wanted, value)
        case ValueList(several):
            return any(_equal(key, wanted, value) for wanted in several)
        case Wildcard(pattern):
            return _like(key, pattern, value)
        case Range(low, high):
            return _within(key.attribute.vr, low, high, value)
        case Words(words):
            return has_words(words, value)
    raise AssertionError(key)  # the others are not about one value


def _equal(key: Key, wanted: str, value: str) -> bool:
    if key.attribute.vr == "PN":
        return _is_name(charset.folded(wanted), value, str.__eq__)
    if key.attribute.vr in NUMERIC_VRS:
        ours, theirs = number(value), number(wanted)
        if ours is not None and theirs is not None:
            return ours == theirs
    return wanted == value if key.match_case else without_case(wanted) == without_case(value)


def _like(key: Key, pattern: str, value: str) -> bool:
    if key.attribute.vr == "PN":
        return _is_name(charset.folded_pattern(pattern), value, _covers)
    if key.match_case:
        return wildcard_matches(pattern, value)
    return wildcard_matches(without_case(pattern), without_case(value))


def _is_name(wanted: str, value: str, agrees: Callable[[str, str], bool]) -> bool:
    """Return whether a stored name, or its groups, agree with a folded name or pattern."""
    whole = charset.folded(value)
    if agrees(wanted, whole):
        return True
    groups = whole.split("=")
    if "=" not in wanted:
        return any(group and agrees(wanted, group) for group in groups)
    asked = wanted.split("=")
    groups += [""] * (len(asked) - len(groups))
    return all(agrees(one, group) for one, group in zip(asked, groups, strict=False) if one)


def _covers(pattern: str, text: str) -> bool:
    return any(wildcard_matches(one, text) for one in names.patterns(pattern))


def has_words(words: tuple[str, ...], value: str) -> bool:
    """Return whether each of the words, which are as in `Words`, begins some word of a stored name."""
    stored = names.words(value)
    return all(any(wildcard_matches(f"{word}*", one) for one in stored) for word in words)


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
    """Return the first and last moment of a date, a DT (in UTC) or a time (of a day)."""
    if text is None:
        return None, None
    if vr == "TM":
        return temporal.instants(text) or (None, None)
    if vr == "DA":
        day = temporal.date(text)
        return (int(day), int(day)) if day else (None, None)
    return utc_span(text)


def utc_span(text: str) -> tuple[int, int] | tuple[None, None]:
    """Return the first and last moment, in UTC, of a DT, which is in UTC if it names no offset."""
    span = temporal.span(text)
    if span is None:
        return None, None
    offset = (span[2] or 0) * temporal.MINUTE
    return span[0] - offset, span[1] - offset


def _is_between(date: Attribute, wanted: Moments, record: Mapping[str, str], timezone: int | None) -> bool:
    time = record.get(TIME_OF[date].keyword)
    moment = temporal.moment(record.get(date.keyword) or "", time)
    if moment is None:
        return False
    if timezone is not None and time and date.level in zones.ZONES:
        moment += zones.shift(date.level, record, timezone) * temporal.MINUTE
    is_late_enough = wanted.low is None or temporal.of_stamp(wanted.low) <= moment
    return is_late_enough and (wanted.high is None or moment <= temporal.of_stamp(wanted.high))
